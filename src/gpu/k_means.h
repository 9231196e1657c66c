/* What lloyd, seed and spread take; see op.def. Plain structs, read by the host, by NVRTC and by
 * the emulator. */
#ifndef GPU_K_MEANS_H
#define GPU_K_MEANS_H

#define MEANS_THREADS 256
#define MEANS_TILE    64   /* rows of a block of means_assign and means_try */
#define MEANS_CHUNK   1024 /* rows of a block of means_mass */
#define MEANS_WARPS   8    /* of a block: rows that are looked at side by side */

/* In order: means_clear (tiles of K D, S), means_bound (256 rows, S), means_assign (64 of the list,
 * S), means_move (some, S), means_sum (as means_clear). A cluster's rows are added up as integers,
 * x times a power of two such that n of the largest fit into 62 bits: the order does not matter. */
struct means_lloyd {
    const float *x, *centre, *move;
    double *sum; /* holds i64 until means_sum */
    int *count, *label;
    float *bound;
    int *list, *was; /* [S][n] rows to be looked at; their label before, -2: it stays */
    int *head;       /* [S][2] how many; bits of the largest |x| of rows that change */
    int n, d, k, bits;
};

/* In order: means_mass (chunks, S), means_draw (S), means_try (tiles of rows, tiles of S C),
 * means_choose (S), means_keep (8 rows a block). */
struct means_seed {
    const float *x;
    const double *draw;
    const int *first;
    int *chosen;
    double *potential;
    float *closest;
    double *mass;  /* [S][chunks] sums of closest */
    int *drawn;    /* [S][C] */
    double *tried; /* [tiles][S][C] potentials of a tile's rows */
    int n, d, starts, tries, chunks, tiles;
};

/* means_away (8 rows a block), means_spread (K). */
struct means_spread {
    const float *x, *centre;
    const int *label;
    double *sums;
    float *d2;    /* or NULL */
    double *away; /* [n] */
    int n, d, k;
};

#endif
