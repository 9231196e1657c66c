/* The kernel table: rows of one op stand together, best first, the reference last. To add a kernel:
 * its function, and a row here; opcheck finds it by itself. */
#include "cpu/cpu_ref.h"

#define REF(op, forms)                                                                       \
    {                                                                                        \
        OP_##op, #op "_ref", CPU_REF, forms, NULL, cpu_ref_scratch, NULL, NULL, cpu_ref_##op \
    }

/* op, name, level, forms of the matrix, fits, scratch, prepare, release, run */
/* clang-format off */
static const struct cpu_kernel rows[] = {
    REF(logmel, 0),
    REF(melnorm, 0),
    REF(conv1d, CPU_PLAIN),
    REF(addpos, 0),
    REF(layernorm, 0),
    REF(linear, CPU_PLAIN),
    REF(attention, 0),
    REF(crosskv, 0),
    REF(embed, CPU_PLAIN),
    REF(attnself, 0),
    REF(attncross, 0),
    REF(gather, 0),
    REF(pick, 0),
};
/* clang-format on */

const struct cpu_kernel *cpu_table_rows(size_t *n)
{
    *n = COUNT(rows);
    return rows;
}
