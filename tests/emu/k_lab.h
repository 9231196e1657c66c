/* Arguments of the kernels in k_lab.cu. */
#ifndef TESTS_EMU_K_LAB_H
#define TESTS_EMU_K_LAB_H

struct lab_args {
    const void *a, *b;
    void *c;
    int m, n, k;
    float f;
};

#endif
