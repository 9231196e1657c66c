/* Arguments of k_pick.cu: which tokens may come next. See op.def, pick. */
#ifndef GPU_K_PICK_H
#define GPU_K_PICK_H

#define PICK_THREADS 256
#define PICK_CHUNK   2048 /* tokens of a block */
#define PICK_NUMBERS 5    /* of a chunk, see pick_part */

/* Chunks are of text (tokens before time0) or of timestamps, never of both.
 * pick_part: grid chunks, G. pick_row: grid G. */
struct pick {
    const float *logits, *ban, *chance;
    const int *rule, *live;
    int *top;
    float *top_log;
    int *token;
    float *token_log, *watched;
    float *part;      /* [G, chunks, PICK_NUMBERS] */
    float *part_top;  /* [G, chunks, J] logits, falling */
    int *part_token;  /* their tokens, -1 where there is none */
    int vocab, texts; /* V, tokens before the first timestamp */
    int text_chunks, chunks;
    int n_top, watch, eot, time0;
};

#endif
