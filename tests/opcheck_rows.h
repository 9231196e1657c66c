/* Cases of opcheck for the ops of clustering: rows against centres and against each other. Part of
 * opcheck_cases.h. */
#ifndef TESTS_OPCHECK_ROWS_H
#define TESTS_OPCHECK_ROWS_H

static int in_f64(struct stage *s, const char *name, const int64_t *dim)
{
    return checked(s, plan_input(s->plan, name, DTYPE_F64, lab_rank(dim), dim, -1, &s->e), 0.49f,
                   0);
}

static int whole_out(struct stage *s, const char *name, enum dtype type, const int64_t *dim)
{
    return checked(s, plan_output(s->plan, name, type, lab_rank(dim), dim, -1, &s->e), 0, 0);
}

static int state(struct stage *s, const char *name, enum dtype type, const int64_t *dim)
{
    return checked(s, plan_state(s->plan, name, type, lab_rank(dim), dim, &s->e), 1, 1);
}

/* d: N D S C; bare: the first step */
static void build_seed(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", false, 1, DIMS(d[0], d[1]));
    int draw = in_f64(s, "draw", DIMS(d[2], d[3]));
    int first = checked(s, plan_input(s->plan, "first", DTYPE_I32, 0, NULL, -1, &s->e), 0, 1);
    s->flops = 2.0 * (double)(d[0] * d[1] * d[2] * (d[3] + 1));
    step(s, IDS(x, draw, first),
         IDS(whole_out(s, "chosen", DTYPE_I32, DIMS(d[2])),
             whole_out(s, "potential", DTYPE_F64, DIMS(d[2])),
             state(s, "closest", DTYPE_F32, DIMS(d[2], d[0]))));
}

/* d: N D S K */
static void build_lloyd(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", false, 1, DIMS(d[0], d[1]));
    int centre = in_f32(s, "centre", false, 1, DIMS(d[2], d[3], d[1]));
    int move = in_f32(s, "move", false, 0, DIMS(d[2], d[3]));
    s->flops = 2.0 * (double)(d[0] * d[1] * d[2] * d[3]);
    step(s, IDS(x, centre, move),
         IDS(whole_out(s, "sum", DTYPE_F64, DIMS(d[2], d[3], d[1])),
             whole_out(s, "count", DTYPE_I32, DIMS(d[2], d[3] + 1)),
             state(s, "label", DTYPE_I32, DIMS(d[2], d[0])),
             state(s, "bound", DTYPE_F32, DIMS(d[2], d[0], 2))));
}

/* d: N D K */
static void build_spread(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", false, 1, DIMS(d[0], d[1]));
    int centre = in_f32(s, "centre", false, 1, DIMS(d[2], d[1]));
    int label = in_i32(s, "label", false, d[2], DIMS(d[0]));
    int sums = whole_out(s, "sums", DTYPE_F64, DIMS(d[2], 2));
    step(s, IDS(x, centre, label),
         IDS(sums, s->one->bare ? -1 : whole_out(s, "d2", DTYPE_F32, DIMS(d[0]))));
}

/* d: N D E; E 0: of x with itself */
static void build_gram(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", true, 1, DIMS(d[0], d[1]));
    int y = d[2] ? in_f32(s, "y", true, 1, DIMS(d[0], d[2])) : -1;
    int product = whole_out(s, "product", DTYPE_F64, DIMS(d[1], d[2] ? d[2] : d[1]));
    s->flops = 2.0 * (double)(d[0] * d[1] * (d[2] ? d[2] : d[1]));
    step(s, IDS(x, y),
         IDS(product, s->one->bare ? -1 : whole_out(s, "sums", DTYPE_F64, DIMS(d[1]))));
}

/* d: D */
static void build_eigen(struct stage *s)
{
    int64_t d = s->one->d[0];
    int a = in_f64(s, "a", DIMS(d, d));
    s->flops = 26.0 / 3 * (double)(d * d * d);
    step(s, IDS(a),
         IDS(whole_out(s, "value", DTYPE_F64, DIMS(d)),
             whole_out(s, "vector", DTYPE_F64, DIMS(d, d))));
}

/* d: N D M */
static void build_project(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", true, 1, DIMS(d[0], d[1]));
    int w = in_f32(s, "w", false, 1, DIMS(d[2], d[1]));
    int offset = in_f32(s, "offset", false, 1, DIMS(d[2]));
    s->flops = 2.0 * (double)(d[0] * d[1] * d[2]);
    step(s, IDS(x, w, offset), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[2]))));
}

/* d: N D K kind; kind 0 diag, 1 full, 2 tied; bare or with matrices: nothing known of steps */
static void build_estep(struct stage *s)
{
    const int64_t *d = s->one->d;
    int64_t extra = d[3] == 0 ? d[1] : d[3] == 1 ? d[1] * d[1] : 0;
    int x = in_f32(s, "x", false, 2, DIMS(d[0], d[1]));
    int scale = in_f32(s, "scale", false, 2,
                       d[3] ? DIMS(d[3] == 2 ? 1 : d[2], d[1], d[1]) : DIMS(d[2], d[1]));
    int shift = in_f32(s, "shift", false, 2, DIMS(d[2], d[1]));
    bool known = !d[3] && !s->one->bare;
    int fixed = in_f64(s, "fixed", DIMS(d[2]));
    int move = known ? in_f32(s, "move", false, 0, DIMS(d[2], 3)) : -1;
    s->flops = 4.0 * (double)(d[0] * d[1] * d[2]);
    step(s, IDS(x, scale, shift, fixed, move),
         IDS(whole_out(s, "label", DTYPE_I32, DIMS(d[0])),
             checked(s, plan_output(s->plan, "likelihood", DTYPE_F64, 0, NULL, -1, &s->e), 0, 0),
             whole_out(s, "sums", DTYPE_F64, DIMS(d[2], 1 + d[1] + extra)),
             known ? state(s, "known", DTYPE_F32, DIMS(d[0], 5)) : -1));
}

/* d: N D tenths of eps */
static void build_density(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", false, 1, DIMS(d[0], d[1]));
    int eps = checked(s, plan_input(s->plan, "eps", DTYPE_F64, 0, NULL, -1, &s->e), 0, 0);
    s->flops = (double)(d[0] * d[0] * d[1]);
    step(s, IDS(x, eps),
         IDS(whole_out(s, "label", DTYPE_I32, DIMS(d[0])),
             whole_out(s, "neighbours", DTYPE_I32, DIMS(d[0]))));
}

/* d: N D */
static void build_near(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", false, 1, DIMS(d[0], d[1])), most = s->one->args.top;
    s->flops = 2.0 * (double)(d[0] * d[0] * d[1]);
    step(s, IDS(x),
         IDS(whole_out(s, "index", DTYPE_I32, DIMS(d[0], most)),
             whole_out(s, "d2", DTYPE_F32, DIMS(d[0], most))));
}

/* d: N D; clusters in args */
static void build_apart(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", false, 1, DIMS(d[0], d[1]));
    int label = in_i32(s, "label", false, s->one->args.top, DIMS(d[0]));
    s->flops = (double)(d[0] * d[0] * d[1]);
    step(s, IDS(x, label), IDS(whole_out(s, "silhouette", DTYPE_F32, DIMS(d[0]))));
}

/* d: N B entries-per-row */
static void build_diffuse(struct stage *s)
{
    const int64_t *d = s->one->d;
    int graph = in_i32(s, "graph", false, d[0], DIMS(d[0] + 1 + d[0] * d[2]));
    int weight = in_f32(s, "weight", false, 1, DIMS(d[0] * d[2]));
    int v = in_f32(s, "v", false, 1, DIMS(d[0], d[1]));
    int factor = in_f32(s, "factor", false, 1, DIMS(3));
    s->flops = 2.0 * (double)(d[0] * d[1] * d[2]);
    step(s, IDS(graph, weight, v, factor), IDS(state(s, "y", DTYPE_F32, DIMS(d[0], d[1]))));
}

/* Values that mean something: see op.def. */
static void fill_rows(struct stage *s)
{
    const struct one *one = s->one;
    const struct plan_step *step = &s->plan->step[0];
    switch (one->op) {
    case OP_seed: {
        double *draw = data_of(s, 1);
        for (int64_t i = 0; i < one->d[2] * one->d[3]; i++)
            draw[i] = (double)tensor_hash("draw", (uint64_t)i, 0.49f) + 0.5;
        *(int32_t *)data_of(s, 2) = one->bare;
        float *closest = (float *)s->value[step->out[2]].data.data;
        for (int64_t i = 0; i < one->d[2] * one->d[0]; i++)
            closest[i] = fabsf(tensor_hash("closest", (uint64_t)i, 2));
        break;
    }
    case OP_lloyd:
        for (int64_t i = 0; i < one->d[2]; i++)
            ((float *)data_of(s, 2))[i * one->d[3]] = i % 3 == 2 ? -2 : -1;
        if (one->d[3] > 2) /* two centres in one place: the first wins */
            memcpy((float *)data_of(s, 1) + 2 * one->d[1], (float *)data_of(s, 1) + one->d[1],
                   (size_t)one->d[1] * 4);
        break;
    case OP_eigen:
        for (int64_t i = 0; i < one->d[0]; i++)
            for (int64_t j = 0; j < i; j++)
                ((double *)data_of(s, 0))[i * one->d[0] + j] =
                    ((double *)data_of(s, 0))[j * one->d[0] + i];
        break;
    case OP_spread:
    case OP_apart: /* some rows are left out */
        for (int64_t i = 0; i < one->d[0]; i += 7)
            ((int32_t *)data_of(s, one->op == OP_apart ? 1 : 2))[i] = -1;
        break;
    case OP_density:
        *(double *)data_of(s, 1) = (double)one->d[2] / 10;
        break;
    case OP_diffuse:
        for (int64_t i = 0; i <= one->d[0];
             i++) /* rows of no entry, and the last of all that is left */
            ((int32_t *)data_of(s, 0))[i] =
                (int32_t)(i == one->d[0] ? i * one->d[2] : i / 2 * one->d[2]);
        break;
    default:
        break;
    }
}

#endif
