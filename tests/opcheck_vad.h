/* The cases of the ops that find speech, built; included by opcheck_cases.h. */
#ifndef TESTS_OPCHECK_VAD_H
#define TESTS_OPCHECK_VAD_H

/* d: B N T K */
static void build_frames(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", true, 1, DIMS(d[0], d[1]));
    step(s, IDS(x), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[2], d[3]))));
}

/* d: B T M */
static void build_magnitude(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", true, 3, DIMS(d[0], d[1], 2 * d[2]));
    step(s, IDS(x), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1], d[2]))));
}

/* d: T C, and whether it starts anew */
static void build_lstm(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", true, 3, DIMS(d[0], 4 * d[1]));
    int w = weight(s, "w", s->one->kind, 1.5f / sqrtf((float)d[1]), DIMS(4 * d[1], d[1]));
    int bias = weight(s, "bias", F32, 1, DIMS(4 * d[1]));
    int start = in_i32(s, "start", false, 1, DIMS(1));
    int y = out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1]));
    int h = checked(s, plan_state(s->plan, "h", DTYPE_F32, 1, &d[1], &s->e), 1, 0);
    int c = checked(s, plan_state(s->plan, "c", DTYPE_F32, 1, &d[1], &s->e), 1, 0);
    s->flops = 8.0 * (double)(d[0] * d[1] * d[1]);
    step(s, IDS(x, w, bias, start), IDS(y, h, c));
}

/* d: B C */
static void build_sigmoid(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", true, 100, DIMS(d[0], d[1]));
    step(s, IDS(x), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1]))));
}

#endif
