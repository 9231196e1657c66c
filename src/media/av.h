/* FFmpeg as a reader of audio. This is the one symbol of the module lode-av.so, opened through
 * base/module.h as ("av", "av_module"): libavformat, libavcodec and libswresample are loaded only
 * when a file needs them. */
#ifndef MEDIA_AV_H
#define MEDIA_AV_H

#include "media/reader.h"

extern const struct reader av_module;

#endif
