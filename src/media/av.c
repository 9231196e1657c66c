/* FFmpeg as a reader of audio: the only file that includes its headers, built as the module
 * lode-av.so. Data: bytes of a source -> demuxer -> decoder -> swresample -> mono s16.
 *
 * As faster-whisper's decoder does: format s16, layout mono, the asked rate, swresample's default
 * filter, no dither. One difference: mono is the plain mean of the channels, so that the built-in
 * WAV reader and this one agree; for one and two channels that is what swresample does by itself.
 *
 * Nothing but the given bytes is ever read: playlists and references to other files or hosts, which
 * FFmpeg would follow, are refused.
 * Written for FFmpeg 5.1 (Debian 12) to 7.1 (Debian 13); older ones lack AVChannelLayout. */
#include "media/av.h"
#include "base/str.h"
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <stdio.h>
#include <string.h>

#define AV_IO_BYTES 32768
#define AV_MISSES_MAX \
    100 /* packets that cannot be read, in a row, before the file counts as over */

struct av {
    struct source *src;
    int rate_hz, channel;
    AVFormatContext *format;
    AVIOContext *io;
    AVCodecContext *codec;
    AVPacket *packet;
    AVFrame *frame;
    SwrContext *swr;
    AVChannelLayout layout; /* what swr was made for */
    int stream, swr_rate, swr_format;
    bool demuxed, decoded, flushed; /* that stage has reached the end */
    bool waiting;                   /* frame holds samples for an swr not yet made */
    int misses;
    int64_t damage;
    double seconds;      /* decoded in this pass */
    struct err io_error; /* what our source said while FFmpeg was reading */
    char said[160];      /* FFmpeg's own last complaint about this file */
};

/* FFmpeg prints by itself; lode does not. Complaints go to the file they are about: open contexts
 * carry our state in `opaque`. */
static BASE_PRINTF(3, 0) void listen(void *about, int level, const char *format, va_list args)
{
    struct av *av = NULL;
    if (!about || level > AV_LOG_ERROR) return;
    const AVClass *class = *(AVClass **)about;
    if (!class) return;
    if (strcmp(class->class_name, "AVFormatContext") == 0)
        av = ((AVFormatContext *)about)->opaque;
    else if (strcmp(class->class_name, "AVCodecContext") == 0)
        av = ((AVCodecContext *)about)->opaque;
    if (!av) return;
    vsnprintf(av->said, sizeof av->said, format, args);
    for (char *p = av->said; *p; p++)
        if ((unsigned char)*p < ' ') *p = *(p + 1) ? ' ' : '\0';
}

static int fail(const struct av *av, int code, const char *doing, struct err *e)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (av->io_error.code != E_OK) {
        *e = av->io_error;
        return -1;
    }
    if (code == AVERROR(ENOMEM)) return err_set(e, E_NOMEM, "FFmpeg found no memory to %s", doing);
    av_strerror(code, text, sizeof text);
    return err_set(e, E_INPUT, "FFmpeg cannot %s: %s%s%s%s", doing, text, av->said[0] ? " (" : "",
                   av->said, av->said[0] ? ")" : "");
}

static int on_read(void *opaque, uint8_t *p, int n)
{
    struct av *av = opaque;
    int64_t got = av->src->read(av->src, p, (size_t)n, &av->io_error);
    if (got < 0) return AVERROR(EIO);
    return got == 0 ? AVERROR_EOF : (int)got;
}

/* A pipe has no size, which is said by 0: FFmpeg's mp3 reader would take an error for a huge size,
 * distrust the header because of it and leave the encoder's padding in (5.1). */
static int64_t on_seek(void *opaque, int64_t at, int whence)
{
    struct av *av = opaque;
    whence &= ~AVSEEK_FORCE;
    if (av->src->pipe) return whence == AVSEEK_SIZE ? 0 : AVERROR(ESPIPE);
    int64_t size = (int64_t)MIN(av->src->size, (uint64_t)INT64_MAX);
    if (whence == AVSEEK_SIZE) return size;
    if (whence == SEEK_CUR) at += (int64_t)av->src->at;
    if (whence == SEEK_END) at += size;
    if (at < 0) return AVERROR(EINVAL);
    if (av->src->seek(av->src, (uint64_t)at, &av->io_error) != 0) return AVERROR(EIO);
    return at;
}

/* What a playlist gets when it names another file. */
static int refuse(AVFormatContext *format, AVIOContext **io, const char *url, int flags,
                  AVDictionary **options)
{
    (void)url, (void)flags, (void)options;
    struct av *av = format->opaque;
    if (av) snprintf(av->said, sizeof av->said, "it refers to other files, which are not followed");
    *io = NULL;
    return AVERROR(EACCES);
}

static void stop(struct av *av)
{
    swr_free(&av->swr);
    av_channel_layout_uninit(&av->layout);
    av_frame_free(&av->frame);
    av_packet_free(&av->packet);
    avcodec_free_context(&av->codec);
    avformat_close_input(&av->format);
    if (av->io) av_freep(&av->io->buffer);
    avio_context_free(&av->io);
}

static int open_container(struct av *av, struct err *e)
{
    const AVInputFormat *kind = NULL;
    uint8_t *buffer = av_malloc(AV_IO_BYTES);
    if (!buffer) return fail(av, AVERROR(ENOMEM), "read the file", e);
    av->io = avio_alloc_context(buffer, AV_IO_BYTES, 0, av, on_read, NULL, on_seek);
    if (!av->io) {
        av_free(buffer);
        return fail(av, AVERROR(ENOMEM), "read the file", e);
    }
    if (av->src->pipe) av->io->seekable = 0;
    av->format = avformat_alloc_context();
    if (!av->format) return fail(av, AVERROR(ENOMEM), "read the file", e);
    av->format->opaque = av;
    av->format->pb = av->io;
    av->format->io_open = refuse;
    av->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    int code = av_opt_set(av->format, "protocol_whitelist", "none", 0);
    if (code == 0) code = av_probe_input_buffer2(av->io, &kind, "", av->format, 0, 0);
    if (code < 0) return fail(av, code, "tell what kind of file this is", e);
    assert(kind);
    if (av_match_name(kind->name, "concat,dash,hls,imf,rtsp,sdp"))
        return err_set(e, E_INPUT, "is a playlist (%s); the files it names are not followed",
                       kind->name);
    /* On failure this frees the context and clears the pointer. */
    code = avformat_open_input(&av->format, "", kind, NULL);
    if (code < 0 && av->src->pipe && av->io_error.code == E_OK) return READER_MUST_SEEK;
    if (code < 0) return fail(av, code, "read the file's header", e);
    code = avformat_find_stream_info(av->format, NULL);
    if (code < 0) return fail(av, code, "read the file's header", e);
    return 0;
}

static int open_decoder(struct av *av, struct err *e)
{
    const AVCodec *decoder = NULL;
    av->stream = av_find_best_stream(av->format, AVMEDIA_TYPE_AUDIO, -1, -1, &decoder, 0);
    if (av->stream == AVERROR_DECODER_NOT_FOUND)
        return err_set(e, E_INPUT, "the installed FFmpeg has no decoder for its audio");
    if (av->stream < 0) {
        bool video = av_find_best_stream(av->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0) >= 0;
        return err_set(e, E_INPUT, video ? "is a video without sound" : "holds no audio");
    }
    for (unsigned i = 0; i < av->format->nb_streams; i++)
        if ((int)i != av->stream) av->format->streams[i]->discard = AVDISCARD_ALL;
    av->codec = avcodec_alloc_context3(decoder);
    av->packet = av_packet_alloc();
    av->frame = av_frame_alloc();
    if (!av->codec || !av->packet || !av->frame)
        return fail(av, AVERROR(ENOMEM), "open the decoder", e);
    av->codec->opaque = av;
    av->codec->pkt_timebase = av->format->streams[av->stream]->time_base;
    int code = avcodec_parameters_to_context(av->codec, av->format->streams[av->stream]->codecpar);
    if (code == 0) code = avcodec_open2(av->codec, decoder, NULL);
    return code < 0 ? fail(av, code, "open the decoder", e) : 0;
}

static int start(struct av *av, struct err *e)
{
    av->demuxed = av->decoded = av->flushed = av->waiting = false;
    av->misses = 0;
    av->damage = 0;
    av->seconds = 0;
    av->said[0] = '\0';
    err_clear(&av->io_error);
    int answer = open_container(av, e);
    return answer == 0 ? open_decoder(av, e) : answer;
}

/* Does swr fit the frame at hand? Files made by joining others change in the middle. */
static bool same_kind(const struct av *av)
{
    return av->swr && av->swr_rate == av->frame->sample_rate &&
           av->swr_format == av->frame->format &&
           av_channel_layout_compare(&av->layout, &av->frame->ch_layout) == 0;
}

/* An swr for the frame at hand: mean of its channels, to the asked rate. */
static int make_swr(struct av *av, struct err *e)
{
    const AVFrame *f = av->frame;
    double mean[READER_CHANNELS_MAX];
    int n = f->ch_layout.nb_channels;
    if (n < 1 || n > READER_CHANNELS_MAX)
        return err_set(e, E_INPUT, "has %d channels; 1 to %d can be read", n, READER_CHANNELS_MAX);
    if (f->sample_rate < READER_RATE_MIN_HZ || f->sample_rate > READER_RATE_MAX_HZ)
        return err_set(e, E_INPUT, "has %d samples a second; %d to %d can be read", f->sample_rate,
                       READER_RATE_MIN_HZ, READER_RATE_MAX_HZ);
    if (av->channel > n)
        return err_set(e, E_INPUT, "has %d channel%s, none with number %d", n, str_s(n),
                       av->channel);
    for (int i = 0; i < n; i++) mean[i] = av->channel ? i == av->channel - 1 : 1.0 / n;
    swr_free(&av->swr);
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;
    int code = av_channel_layout_copy(&av->layout, &f->ch_layout);
    av->swr_rate = f->sample_rate;
    av->swr_format = f->format;
    if (code == 0)
        code = swr_alloc_set_opts2(&av->swr, &mono, AV_SAMPLE_FMT_S16, av->rate_hz, &av->layout,
                                   av->swr_format, av->swr_rate, 0, NULL);
    if (code == 0 && n > 1) code = swr_set_matrix(av->swr, mean, n);
    if (code == 0) code = swr_init(av->swr);
    if (code < 0) return fail(av, code, "convert its samples", e);
    av->flushed = false;
    return 0;
}

/* The next packet of our stream into the decoder. Damage is counted and passed over. */
static int feed(struct av *av, struct err *e)
{
    int code = av_read_frame(av->format, av->packet);
    if (av->io_error.code != E_OK) return fail(av, AVERROR(EIO), "read", e);
    if (code == AVERROR(ENOMEM)) return fail(av, code, "read", e);
    if (code < 0) {
        av->damage += code != AVERROR_EOF;
        if (code == AVERROR_EOF || ++av->misses >= AV_MISSES_MAX) {
            av->demuxed = true;
            avcodec_send_packet(av->codec, NULL);
        }
        return 0;
    }
    av->misses = 0;
    if (av->packet->stream_index == av->stream) {
        bool torn = (av->packet->flags & AV_PKT_FLAG_CORRUPT) != 0;
        code = avcodec_send_packet(av->codec, av->packet);
        av->damage += torn || code < 0;
    }
    av_packet_unref(av->packet);
    return code == AVERROR(ENOMEM) ? fail(av, code, "decode", e) : 0;
}

/* The seconds the header announced, if the end is more than one before; else 0. */
static double promised(const struct av *av)
{
    const AVStream *s = av->format->streams[av->stream];
    if (s->duration == AV_NOPTS_VALUE ||
        av->format->duration_estimation_method != AVFMT_DURATION_FROM_STREAM)
        return 0;
    double all_s = (double)s->duration * av_q2d(s->time_base);
    return all_s > av->seconds + 1.0 ? all_s : 0;
}

/* The next frame into av->frame, or av->decoded. */
static int decode(struct av *av, struct err *e)
{
    while (!av->decoded) {
        int code = avcodec_receive_frame(av->codec, av->frame);
        if (code == 0) {
            if (av->frame->sample_rate > 0)
                av->seconds += (double)av->frame->nb_samples / av->frame->sample_rate;
            if (av->frame->nb_samples > 0) return 0;
        } else if (code == AVERROR_EOF || (code == AVERROR(EAGAIN) && av->demuxed)) {
            av->decoded = true;
            av->damage += promised(av) > 0;
        } else if (code == AVERROR(EAGAIN)) {
            TRY(feed(av, e));
        } else if (code == AVERROR(ENOMEM)) {
            return fail(av, code, "decode", e);
        } else {
            av->damage++;
        }
    }
    return 0;
}

/* Up to the first frame, which then waits. What cannot be had from a pipe that way, mp4 with its
 * table of contents at the end above all, is asked for again as a file. */
static enum reader_answer open_av(void *state, struct source *src, int rate_hz,
                                  struct reader_info *info, struct err *e)
{
    struct av *av = state;
    av->src = src;
    av->rate_hz = rate_hz;
    av->channel = info->channel;
    av_log_set_callback(listen);
    int answer = start(av, e);
    if (answer != READER_OK) return answer;
    TRY(decode(av, e));
    av->waiting = !av->decoded;
    if (av->decoded && src->pipe) return READER_MUST_SEEK;
    info->rate_hz = av->codec->sample_rate;
    info->channels = av->codec->ch_layout.nb_channels;
    info->n_samples = -1;
    return READER_OK;
}

static int64_t convert(struct av *av, int16_t *dst, int64_t n, const AVFrame *f, struct err *e)
{
    static const uint8_t *const nothing[READER_CHANNELS_MAX];
    uint8_t *out = (uint8_t *)dst;
    const uint8_t **in = f ? (const uint8_t **)f->extended_data : (const uint8_t **)nothing;
    if (av->flushed) in = NULL;
    int got = swr_convert(av->swr, &out, (int)MIN(n, INT32_MAX / 2), in, f ? f->nb_samples : 0);
    return got < 0 ? fail(av, got, "convert its samples", e) : got;
}

/* swr keeps what does not fit into dst, so memory stays within one frame:
 * first what it has, then the frame that waits, then a new one; at the end its tail. */
static int64_t read_av(void *state, int16_t *dst, int64_t n, struct err *e)
{
    struct av *av = state;
    for (;;) {
        int64_t got = av->swr ? convert(av, dst, n, NULL, e) : 0;
        if (got != 0) return got;
        if (!av->waiting && !av->decoded) {
            TRY(decode(av, e));
            av->waiting = !av->decoded;
        }
        bool fits = av->waiting && same_kind(av);
        if (!fits && av->swr && !av->flushed) {
            av->flushed = true; /* deliver the tail before the end or a change of kind */
            continue;
        }
        if (!av->waiting) return 0;
        if (!fits) TRY(make_swr(av, e));
        av->waiting = false;
        got = convert(av, dst, n, av->frame, e);
        av_frame_unref(av->frame);
        if (got != 0) return got;
    }
}

static int rewind_av(void *state, struct err *e)
{
    /* Seeking lands near, not at, the first sample in most formats; opening again is exact. */
    struct av *av = state;
    stop(av);
    TRY(av->src->seek(av->src, 0, e));
    return start(av, e) == 0 ? 0 : -1;
}

static int64_t damage_av(const void *state)
{
    return ((const struct av *)state)->damage;
}

static double promised_av(const void *state)
{
    const struct av *av = state;
    return av->decoded ? promised(av) : 0;
}

static void close_av(void *state)
{
    stop(state);
}

const struct reader av_module BASE_EXPORT = {"ffmpeg",  sizeof(struct av), open_av,     read_av,
                                             rewind_av, damage_av,         promised_av, close_av};
