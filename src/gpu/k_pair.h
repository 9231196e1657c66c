/* What near, density, apart and diffuse take; see op.def. Plain structs, read by the host, by NVRTC
 * and by the emulator. */
#ifndef GPU_K_PAIR_H
#define GPU_K_PAIR_H

#define PAIR_BLOCK 256 /* threads of every kernel here */
#define PAIR_ROWS  64  /* of a tile, either way */

/* Grid: tiles of rows. */
struct pair_near {
    const float *x;
    int *index;
    float *d2;
    double *exact; /* [n][top] rising */
    int n, d, top;
};

/* In order: density_clear (256 rows), density_count (pairs of tiles), density_list (256 rows),
 * density_join (pairs of tiles), density_flat (256 rows), density_touch (tiles of rows, some),
 * density_number (1), density_label (256 rows). Pairs of tiles are those of a triangle, one after
 * the other. A set of joined rows is a tree that hangs from its lowest row, so nothing depends on
 * the order in which rows were joined. */
struct pair_density {
    const float *x;
    const double *eps;
    int *label, *count;
    int *parent;           /* [n] of core rows */
    int *list;             /* [n] core rows from the front, others from the back */
    int *touch;            /* [n] lowest root that touches, as INT_MAX - root; 0: none */
    int *name;             /* [n] number of a root's cluster */
    int *head;             /* [2] how many core rows, how many others */
    int n, d, top, across; /* across: blocks that share a tile of density_touch */
};

/* pair_members (clusters), then pair_apart (tiles of rows). */
struct pair_apart {
    const float *x;
    const int *label;
    float *out;
    int *member; /* [n] rows of cluster 0, of 1, .. */
    int *begin;  /* [clusters + 1] where each one's begin */
    int n, d, clusters;
};

/* Grid: 256 cells a block. */
struct pair_diffuse {
    const int *graph;
    const float *weight, *v, *factor;
    float *y;
    int n, b;
};

#endif
