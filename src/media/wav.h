/* RIFF/WAVE without FFmpeg. */
#ifndef MEDIA_WAV_H
#define MEDIA_WAV_H

#include "media/reader.h"

extern const struct reader wav_reader;

#endif
