/* What gram, project, estep and eigen take; see op.def. Plain structs, read by the host, by NVRTC
 * and by the emulator. */
#ifndef GPU_K_MOMENT_H
#define GPU_K_MOMENT_H

#define MOMENT_THREADS 256
#define MOMENT_TILE    64 /* of the output, either way */
#define MOMENT_WARPS   8

/* moment_gram (tiles of D, tiles of E, parts), moment_gram_sum (cells of the outputs). */
struct moment_gram {
    const float *x, *y;
    const int *live;
    double *out, *sums;      /* sums: or NULL */
    double *part;            /* [parts][d e + d] */
    int n, d, e, parts, per; /* rows of a part */
};

/* Grid: tiles of rows, tiles of M. */
struct moment_project {
    const float *x, *w, *offset;
    const int *live;
    float *y;
    int n, d, m;
};

enum { MOMENT_DIAG, MOMENT_FULL, MOMENT_TIED };

/* For a piece of rows [from, from + rows) at a time: moment_turn if TIED (tiles of rows, tiles of
 * D), moment_log (tiles of rows, tiles of K, or K if FULL), moment_rows (8 rows a block),
 * moment_add (tiles of K, tiles of the width, parts). Then moment_all (cells of sums, and one more
 * block). */
struct moment_step {
    const float *x, *scale, *shift;
    const double *fixed;
    int *label;
    double *likelihood, *sums;
    double *turned; /* [piece][d] x times the one matrix; TIED */
    double *log_p;  /* [piece][k]; responsibilities after moment_rows */
    double *row;    /* [n] log-likelihoods */
    double *part;   /* [parts][k][width] */
    int n, d, k, kind, width, from, rows, parts;
};

/* One block. a, v: [d][d] of scratch; diagonal, off, beta, p [d], turn [2 d]. */
struct moment_eigen {
    const double *in;
    double *value, *vector;
    double *a, *v, *diagonal, *off, *beta, *p, *turn;
    int n;
};

#define MOMENT_EIGEN_THREADS 512

#endif
