/* What pool and nearest take. Plain structs, read by the host, by NVRTC and by the emulator. */
#ifndef GPU_K_ROWS_H
#define GPU_K_ROWS_H

/* See op.def, pool. Grid: ranges. */
struct rows_pool {
    const float *x;   /* [rows][width] */
    const int *range; /* [ranges][2] */
    const int *live;  /* ranges that count, or NULL */
    float *y;         /* [ranges][width] */
    int ranges, width, first, unit;
};

/* See op.def, nearest. rows_nearest_part: chunks, tiles of queries. rows_nearest_all: queries. */
struct rows_nearest {
    const float *query; /* [queries][width] */
    const float *base;  /* [n][width] */
    const int *group;   /* [n] */
    const int *live;    /* queries that count, or NULL */
    int *row;           /* [queries][top] */
    float *product;
    float *part;   /* [queries][chunks][keep]: the best of a chunk, falling */
    int *part_row; /* the same of their rows, -1 where there is none */
    int *head;     /* [queries][chunks]: how many of them have been taken */
    int queries, n, width, top, chunks, keep;
};

#define ROWS_POOL_THREADS 128
#define ROWS_QUERIES      16  /* of a block of rows_nearest_part */
#define ROWS_CHUNK        256 /* rows of base, and threads */

#endif
