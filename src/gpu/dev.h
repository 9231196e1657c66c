/* What a kernel text (k_*.cu) is written against: one C subset that NVRTC takes as CUDA C++ and gcc
 * or clang take as C11 on the fiber emulator (gpu/emu.h). Kernels include this header first and
 * nothing else but gpu/ headers of plain structs.
 *
 * The subset: no C++ (no references, templates, overloads, auto), pointers cast explicitly from
 * void, no designated or compound initialisers, `struct tag` in full, no variable length arrays.
 * threadIdx, blockIdx, blockDim, gridDim (.x .y .z, unsigned) are as in CUDA.
 *
 *     DEV_KERNEL(scale, struct gpu_scale, a, 256)      // at most 256 threads a block
 *     {
 *         DEV_SHARED(float, part, 8);
 *         ...
 *     }
 *
 * A kernel takes ONE struct by value, so the host fills the same struct and no list of arguments
 * can disagree. Pointers in it are device addresses.
 *
 * DEV_ARCH is 70, 75, 80, 86, 89, 90, ... ; under the emulator what -DDEV_EMULATE=70|75|80|90 says.
 *
 * Everything marked "warp" must be reached by all 32 lanes of a warp together, everything marked
 * "block" by all threads that have not returned; the emulator reports what does not.
 *
 * Matrix fragments are those of the PTX ISA, "Warp-level matrix instructions", sections "Matrix
 * Fragments for mma.m16n8k8 / m16n8k16 / m8n8k16 / m16n8k32" and "ldmatrix". */
#ifndef GPU_DEV_H
#define GPU_DEV_H

#ifdef __CUDACC_RTC__

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;

#define DEV_ARCH     (__CUDA_ARCH__ / 10)
#define DEV_RESTRICT __restrict__
#define DEV_ALIGN(n) __align__(n)
#define DEV_UNROLL   _Pragma("unroll")
#define DEV_ROLLED   _Pragma("unroll 1")       /* a loop left as it is, for want of registers */
#define DEV_CONST    static __constant__ const /* a table at file level */

/* DEV_FN: a helper function, inlined. */
#define DEV_FN static __device__ __forceinline__

/* DEV_KERNEL: see above. `threads` is the most a block may have; DEV_KERNEL_BLOCKS also says how
 * many blocks shall fit on a multiprocessor (bounds the registers). */
#define DEV_KERNEL(name, type, a, threads) \
    extern "C" __global__ void __launch_bounds__(threads) name(const type a)
#define DEV_KERNEL_BLOCKS(name, type, a, threads, blocks) \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const type a)

/* DEV_SHARED: an array of n elements shared by the block, 16 byte aligned, undefined at the start.
 * Use it at the top of a kernel or DEV_FN; `name` is an array or pointer, so no sizeof of it.
 * DEV_DYNAMIC: the dynamic shared memory of the launch, seen as `type *name`, 16 byte aligned; a
 * kernel that uses it should have no second DEV_DYNAMIC of another start. */
#define DEV_SHARED(type, name, n) __shared__ __align__(16) type name[n]
extern __shared__ __align__(16) unsigned char dev_dynamic_[];
#define DEV_DYNAMIC(type, name) type *name = (type *)dev_dynamic_

#else

#include "gpu/emu.h"

#define DEV_ARCH     DEV_EMULATE
#define DEV_RESTRICT restrict
#define DEV_ALIGN(n) __attribute__((aligned(n)))
#define DEV_UNROLL
#define DEV_ROLLED
#define DEV_CONST static const

#define DEV_FN                             static inline __attribute__((unused))

/* A kernel becomes a descriptor k_NAME_ARCH with the function behind it. */
#define DEV_KERNEL(name, type, a, threads) DEV_KERNEL_BLOCKS(name, type, a, threads, 1)
#define DEV_KERNEL_BLOCKS(name, type, a, threads, blocks)                                    \
    static void name(const type a);                                                          \
    static void name##_call(const void *args)                                                \
    {                                                                                        \
        name(*(const type *)args);                                                           \
    }                                                                                        \
    extern const struct emu_kernel EMU_NAME(name, DEV_EMULATE);                              \
    const struct emu_kernel EMU_NAME(name, DEV_EMULATE) = {#name, name##_call, sizeof(type), \
                                                           threads};                         \
    static void name(const type a)

#define DEV_SHARED(type, name, n)  \
    static const char name##_site; \
    type *const name = (type *)emu_shared(&name##_site, sizeof(type) * (n))
#define DEV_DYNAMIC(type, name) type *name = (type *)emu_dynamic()

#define threadIdx (emu_now->self->thread)
#define blockIdx  (emu_now->block)
#define blockDim  (emu_now->block_dim)
#define gridDim   (emu_now->grid_dim)

#endif

#define DEV_WARP                      32
#define DEV_STATIC_ASSERT(name, test) typedef char dev_assert_##name[(test) ? 1 : -1]

/* 16 bytes moved at once; both ends 16 byte aligned. */
struct DEV_ALIGN(16) dev_u4 {
    uint32_t x, y, z, w;
};
struct DEV_ALIGN(8) dev_u2 {
    uint32_t x, y;
};

/* ---- per thread ----
 *
 * dev_lane, dev_warp       threadIdx.x % 32, threadIdx.x / 32 (blocks are one-dimensional where
 *                          warps matter)
 * dev_as_f32, dev_as_u32   the same 32 bits
 * dev_ld16, dev_ld8        16 / 8 bytes of global memory that nobody writes during the kernel
 *                          (read-only path); dev_get16 / dev_put16: 16 bytes of any memory
 * dev_ld_far               f32 of global memory that another block wrote in this launch, read from
 *                          where all blocks meet; after dev_fence and a count of who has come
 * dev_exp dev_log dev_log10 dev_erf dev_sqrt dev_rsqrt dev_fma dev_max dev_min dev_abs dev_tanh
 *                          f32; dev_rsqrt to about 2 ulp
 * dev_exp_fast             f32, relative error up to 2^-21 + |x| 2^-23 on the GPU: for softmax
 *
 * dev_round                f32 -> i32, to nearest even
 *
 * dev_half(f)              f32 -> f16 bits, to nearest even, overflow to infinity
 *
 * dev_float(h)             f16 bits -> f32, exact
 *
 * dev_half2(lo, hi)        two f32 -> two f16 in 32 bits, lo in bits 0-15
 * dev_lo(u), dev_hi(u)     their f32 values
 * dev_dp4a(a, b, c)        c + sum over 4 bytes of a.s8 * b.s8
 * dev_pack4(a, b, c, d)    four i32 in -128..127 -> bytes, a lowest
 *
 * dev_sqrt64 dev_exp64 dev_log64 dev_abs64   f64
 * dev_add64, dev_mul64     f64, each rounded, never fused: a sum has the bits of the reference's
 *
 * dev_round64              f64 -> i64, to nearest even
 *
 * dev_power2(e)            f64: 2 to the power of e in -1022 .. 1023
 *
 * Atomics return the old value; the f32 add is in no fixed order (do not use it where the same bits
 * are promised). dev_fence: own writes are seen by the whole GPU before later ones. */
#ifdef __CUDACC_RTC__

DEV_FN float dev_as_f32(uint32_t u)
{
    return __uint_as_float(u);
}
DEV_FN uint32_t dev_as_u32(float f)
{
    return __float_as_uint(f);
}
DEV_FN struct dev_u4 dev_ld16(const void *p)
{
    struct dev_u4 r;
    asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
        : "l"(p));
    return r;
}
DEV_FN struct dev_u2 dev_ld8(const void *p)
{
    struct dev_u2 r;
    asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(r.x), "=r"(r.y) : "l"(p));
    return r;
}
DEV_FN float dev_ld_far(const float *p)
{
    float r;
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(r) : "l"(p) : "memory");
    return r;
}
#define dev_exp(x)       expf(x)
#define dev_exp_fast(x)  __expf(x)
#define dev_log(x)       logf(x)
#define dev_log10(x)     log10f(x)
#define dev_erf(x)       erff(x)
#define dev_tanh(x)      tanhf(x)
#define dev_sqrt(x)      sqrtf(x)
#define dev_rsqrt(x)     rsqrtf(x)
#define dev_sin(x)       sinf(x)
#define dev_cos(x)       cosf(x)
#define dev_fma(a, b, c) fmaf(a, b, c)
#define dev_max(a, b)    fmaxf(a, b)
#define dev_min(a, b)    fminf(a, b)
#define dev_abs(x)       fabsf(x)
#define dev_round(x)     __float2int_rn(x)

DEV_FN uint16_t dev_half(float f)
{
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
}
DEV_FN float dev_float(uint16_t h)
{
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
}
DEV_FN int dev_dp4a(uint32_t a, uint32_t b, int c)
{
    int r;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

#define dev_fence()              __threadfence()
#define dev_atomic_add_i32(p, v) atomicAdd((int *)(p), (int)(v))
#define dev_atomic_max_i32(p, v) atomicMax((int *)(p), (int)(v))
#define dev_atomic_add_f32(p, v) atomicAdd((float *)(p), (float)(v))
#define dev_atomic_cas_u32(p, expected, v) \
    atomicCAS((unsigned *)(p), (unsigned)(expected), (unsigned)(v))
#define dev_atomic_add_i64(p, v) atomicAdd((unsigned long long *)(p), (unsigned long long)(v))
#define dev_sqrt64(x)            sqrt(x)
#define dev_exp64(x)             exp(x)
#define dev_log64(x)             log(x)
#define dev_abs64(x)             fabs(x)
#define dev_add64(a, b)          __dadd_rn((a), (b))
#define dev_mul64(a, b)          __dmul_rn((a), (b))
#define dev_round64(x)           __double2ll_rn(x)
#define dev_power2(e)            __longlong_as_double((long long)((e) + 1023) << 52)

#else

#define dev_as_f32(u)    emu_as_f32(u)
#define dev_as_u32(f)    emu_as_u32(f)
#define dev_ld_far(p)    (*(const float *)(p))
#define dev_exp(x)       expf(x)
#define dev_exp_fast(x)  expf(x)
#define dev_log(x)       logf(x)
#define dev_log10(x)     log10f(x)
#define dev_erf(x)       erff(x)
#define dev_tanh(x)      tanhf(x)
#define dev_sqrt(x)      sqrtf(x)
#define dev_rsqrt(x)     (1.0f / sqrtf(x))
#define dev_sin(x)       sinf(x)
#define dev_cos(x)       cosf(x)
#define dev_fma(a, b, c) fmaf(a, b, c)
#define dev_max(a, b)    fmaxf(a, b)
#define dev_min(a, b)    fminf(a, b)
#define dev_abs(x)       fabsf(x)
#define dev_round(x)     emu_round(x)
#define dev_half(f)      emu_half(f)
#define dev_float(h)     emu_float(h)

DEV_FN struct dev_u4 dev_ld16(const void *p)
{
    emu_aligned(p, 16);
    return *(const struct dev_u4 *)p;
}
DEV_FN struct dev_u2 dev_ld8(const void *p)
{
    emu_aligned(p, 8);
    return *(const struct dev_u2 *)p;
}
DEV_FN int dev_dp4a(uint32_t a, uint32_t b, int c)
{
    for (int i = 0; i < 32; i += 8) c += (int8_t)(a >> i) * (int8_t)(b >> i);
    return c;
}

#define dev_fence()                        ((void)0)
#define dev_atomic_add_i32(p, v)           emu_atomic_add_i32((p), (v))
#define dev_atomic_max_i32(p, v)           emu_atomic_max_i32((p), (v))
#define dev_atomic_add_f32(p, v)           emu_atomic_add_f32((p), (v))
#define dev_atomic_cas_u32(p, expected, v) emu_atomic_cas_u32((p), (expected), (v))
#define dev_atomic_add_i64(p, v)           emu_atomic_add_i64((p), (v))
#define dev_sqrt64(x)                      sqrt(x)
#define dev_exp64(x)                       exp(x)
#define dev_log64(x)                       log(x)
#define dev_abs64(x)                       fabs(x)
#define dev_add64(a, b)                    ((a) + (b))
#define dev_mul64(a, b)                    ((a) * (b))
#define dev_round64(x)                     ((int64_t)llrint(x))
#define dev_power2(e)                      ldexp(1.0, (e))

#endif

#define DEV_INF dev_as_f32(0x7f800000u)

DEV_FN int dev_lane(void)
{
    return (int)(threadIdx.x & 31u);
}
DEV_FN int dev_warp(void)
{
    return (int)(threadIdx.x >> 5);
}
DEV_FN struct dev_u4 dev_get16(const void *p)
{
#ifndef __CUDACC_RTC__
    emu_aligned(p, 16);
#endif
    return *(const struct dev_u4 *)p;
}
DEV_FN void dev_put16(void *p, struct dev_u4 v)
{
#ifndef __CUDACC_RTC__
    emu_aligned(p, 16);
#endif
    *(struct dev_u4 *)p = v;
}
DEV_FN uint32_t dev_half2(float lo, float hi)
{
    return (uint32_t)dev_half(lo) | (uint32_t)dev_half(hi) << 16;
}
DEV_FN float dev_lo(uint32_t u)
{
    return dev_float((uint16_t)(u & 0xffffu));
}
DEV_FN float dev_hi(uint32_t u)
{
    return dev_float((uint16_t)(u >> 16));
}
DEV_FN uint32_t dev_pack4(int a, int b, int c, int d)
{
    return ((uint32_t)a & 255u) | ((uint32_t)b & 255u) << 8 | ((uint32_t)c & 255u) << 16 |
           (uint32_t)d << 24;
}

/* ---- block and warp ----
 *
 * dev_sync                 block: barrier
 * dev_warp_sync            warp: barrier, memory of the lanes is seen by each other
 * dev_shfl_*(v, lane)      warp: v of that lane (0..31)
 * dev_shfl_xor_*(v, mask)  warp: v of lane ^ mask
 * dev_shfl_down_*(v, n)    warp: v of lane + n; own v where that is beyond 31
 * dev_shfl_up_*(v, n)      warp: v of lane - n; own v where that is below 0
 * dev_ballot(test)         warp: bit i is set where lane i's test is not 0
 * dev_any, dev_all         warp
 * dev_sum_f32, dev_max_f32, dev_sum_i32, dev_max_i32, dev_sum_f64   warp: over the lanes, all get
 * the result
 * (the order of the butterfly is fixed: same bits every time) */
#ifdef __CUDACC_RTC__

#define dev_sync()              __syncthreads()
#define dev_warp_sync()         __syncwarp(0xffffffffu)
#define dev_shfl_f32(v, i)      __shfl_sync(0xffffffffu, (float)(v), (i))
#define dev_shfl_i32(v, i)      __shfl_sync(0xffffffffu, (int)(v), (i))
#define dev_shfl_xor_f32(v, i)  __shfl_xor_sync(0xffffffffu, (float)(v), (i))
#define dev_shfl_xor_i32(v, i)  __shfl_xor_sync(0xffffffffu, (int)(v), (i))
#define dev_shfl_down_f32(v, i) __shfl_down_sync(0xffffffffu, (float)(v), (i))
#define dev_shfl_down_i32(v, i) __shfl_down_sync(0xffffffffu, (int)(v), (i))
#define dev_shfl_up_f32(v, i)   __shfl_up_sync(0xffffffffu, (float)(v), (i))
#define dev_shfl_up_i32(v, i)   __shfl_up_sync(0xffffffffu, (int)(v), (i))
#define dev_ballot(test)        __ballot_sync(0xffffffffu, (test))
#define dev_shfl_f64(v, i)      __shfl_sync(0xffffffffu, (double)(v), (i))
#define dev_shfl_xor_f64(v, i)  __shfl_xor_sync(0xffffffffu, (double)(v), (i))

#else

#define dev_sync()              emu_sync(EMU_HERE)
#define dev_warp_sync()         emu_warp_sync(EMU_HERE)
#define dev_shfl_f32(v, i)      emu_as_f32(emu_shuffle(EMU_SHFL, emu_as_u32(v), (i), EMU_HERE))
#define dev_shfl_i32(v, i)      ((int)emu_shuffle(EMU_SHFL, (uint32_t)(v), (i), EMU_HERE))
#define dev_shfl_xor_f32(v, i)  emu_as_f32(emu_shuffle(EMU_SHFL_XOR, emu_as_u32(v), (i), EMU_HERE))
#define dev_shfl_xor_i32(v, i)  ((int)emu_shuffle(EMU_SHFL_XOR, (uint32_t)(v), (i), EMU_HERE))
#define dev_shfl_down_f32(v, i) emu_as_f32(emu_shuffle(EMU_SHFL_DOWN, emu_as_u32(v), (i), EMU_HERE))
#define dev_shfl_down_i32(v, i) ((int)emu_shuffle(EMU_SHFL_DOWN, (uint32_t)(v), (i), EMU_HERE))
#define dev_shfl_up_f32(v, i)   emu_as_f32(emu_shuffle(EMU_SHFL_UP, emu_as_u32(v), (i), EMU_HERE))
#define dev_shfl_up_i32(v, i)   ((int)emu_shuffle(EMU_SHFL_UP, (uint32_t)(v), (i), EMU_HERE))
#define dev_ballot(test)        emu_shuffle(EMU_BALLOT, (test) ? 1u : 0u, 0, EMU_HERE)
#define dev_shfl_f64(v, i)      emu_shuffle_f64(EMU_SHFL, (v), (i), EMU_HERE)
#define dev_shfl_xor_f64(v, i)  emu_shuffle_f64(EMU_SHFL_XOR, (v), (i), EMU_HERE)

#endif

#define dev_any(test) (dev_ballot(test) != 0u)
#define dev_all(test) (dev_ballot(test) == 0xffffffffu)

#ifdef __CUDACC_RTC__
DEV_FN float dev_sum_f32(float v)
{
    for (int i = 16; i > 0; i >>= 1) v += dev_shfl_xor_f32(v, i);
    return v;
}
DEV_FN float dev_max_f32(float v)
{
    for (int i = 16; i > 0; i >>= 1) v = dev_max(v, dev_shfl_xor_f32(v, i));
    return v;
}
DEV_FN int dev_sum_i32(int v)
{
    for (int i = 16; i > 0; i >>= 1) v += dev_shfl_xor_i32(v, i);
    return v;
}
DEV_FN int dev_max_i32(int v)
{
    for (int i = 16; i > 0; i >>= 1) {
        int other = dev_shfl_xor_i32(v, i);
        v = v > other ? v : other;
    }
    return v;
}
#else
#define dev_sum_f32(v) emu_sum_f32((v), EMU_HERE)
#define dev_max_f32(v) emu_max_f32((v), EMU_HERE)
#define dev_sum_i32(v) emu_sum_i32((v), EMU_HERE)
#define dev_max_i32(v) emu_max_i32((v), EMU_HERE)
#endif

DEV_FN double dev_sum_f64(double v)
{
    for (int i = 16; i > 0; i >>= 1) v += dev_shfl_xor_f64(v, i);
    return v;
}

/* ---- copies from global to shared memory that run by themselves (sm_80; before it: done at once)
 *
 * dev_copy16(to, from, keep)  starts a copy of 16 bytes by this thread, both ends 16 byte aligned;
 *                             keep == 0: zeros are written and `from` is not read (it must still be
 *                             a pointer)
 * dev_copy_commit()           what this thread started since the last commit is a group
 * dev_copy_wait(n)            until at most the n (a constant) last groups of this thread are under
 *                             way; other threads see the bytes after the next dev_sync
 * Until waited for, the emulator shows rubbish at the destination. */
#ifdef __CUDACC_RTC__
#if __CUDA_ARCH__ >= 800
DEV_FN void dev_copy16(void *to, const void *from, int keep)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    int bytes = keep ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes)
                 : "memory");
}
#define dev_copy_commit() asm volatile("cp.async.commit_group;" ::: "memory")
#define dev_copy_wait(n)  asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")
#else
DEV_FN void dev_copy16(void *to, const void *from, int keep)
{
    struct dev_u4 v = {0, 0, 0, 0};
    if (keep) v = dev_ld16(from);
    *(struct dev_u4 *)to = v;
}
#define dev_copy_commit() ((void)0)
#define dev_copy_wait(n)  ((void)0)
#endif
#else
#if DEV_ARCH >= 80
#define dev_copy16(to, from, keep) emu_copy16((to), (from), (keep))
#define dev_copy_commit()          emu_copy_commit()
#define dev_copy_wait(n)           emu_copy_wait(n)
#else
DEV_FN void dev_copy16(void *to, const void *from, int keep)
{
    struct dev_u4 v = {0, 0, 0, 0};
    emu_in_shared(to, 16);
    if (keep) v = dev_ld16(from);
    dev_put16(to, v);
}
#define dev_copy_commit() ((void)0)
#define dev_copy_wait(n)  ((void)0)
#endif
#endif

/* ---- matrix products of a warp ----
 *
 * With g = lane / 4 and t = lane % 4, and register i of a fragment holding its elements from low
 * to high bits:
 *
 * dev_mma_f16_k8(c, a, b)   sm_75: C[16,8] f32 += A[16,8] f16 B[8,8] f16
 *   a[0] = A[g][2t, 2t+1]    a[1] = A[g+8][2t, 2t+1]
 *   b    = B[2t, 2t+1][g]
 *   c[0], c[1] = C[g][2t], C[g][2t+1]    c[2], c[3] = C[g+8][2t], C[g+8][2t+1]
 * dev_mma_f16(c, a, b)      sm_80: C[16,8] f32 += A[16,16] f16 B[16,8] f16 (sm_75: two of the
 * above) a[0] = A[g][2t, 2t+1]    a[1] = A[g+8][2t, 2t+1] a[2] = A[g][2t+8, 2t+9]  a[3] =
 * A[g+8][2t+8, 2t+9] b[0] = B[2t, 2t+1][g]    b[1] = B[2t+8, 2t+9][g] c as above dev_mma_s8_k16(c,
 * a, b)   sm_75: C[8,8] i32 += A[8,16] s8 B[16,8] s8 a = A[g][4t .. 4t+3]     b = B[4t .. 4t+3][g]
 * c[0], c[1] = C[g][2t], C[g][2t+1] dev_mma_s8(c, a, b)       sm_80: C[16,8] i32 += A[16,32] s8
 * B[32,8] s8 (sm_75: four of the above) a[0] = A[g][4t .. 4t+3]        a[1] = A[g+8][4t .. 4t+3]
 *   a[2] = A[g][4t+16 .. 4t+19]    a[3] = A[g+8][4t+16 .. 4t+19]
 *   b[0] = B[4t .. 4t+3][g]        b[1] = B[4t+16 .. 4t+19][g]
 *   c as above
 * Since A's rows and B's columns each run along k, both A[M,K] and weights [N,K] are read as they
 * lie. Sums of integers wrap; the order of f32 sums within one instruction is the hardware's.
 *
 * dev_ldmatrix_x4(r, row)   sm_75: four 8x8 matrices of 16 bit elements (or 8x16 of 8 bit) from
 *   shared memory. Lane l passes the address (16 byte aligned) of row l % 8 of matrix l / 8; r[i]
 * is row g, elements 2t and 2t+1 of matrix i. So the rows of the quarters (rows 0-7, k 0-7), (8-15,
 * 0-7), (0-7, 8-15), (8-15, 8-15) of A[16,16] give a[0..3] of dev_mma_f16, and the same rows of
 * bytes a[0..3] of dev_mma_s8. dev_ldmatrix_x4_trans     the same with each matrix transposed: r[i]
 * is elements [2t][g] and [2t+1][g]. For B stored with n fastest (values of attention).
 * dev_ldmatrix_x2, _trans   two matrices, from the addresses of lanes 0-15 (others are ignored). */
#if DEV_ARCH >= 75
#ifdef __CUDACC_RTC__

DEV_FN void dev_ldmatrix_x4(uint32_t *r, const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
DEV_FN void dev_ldmatrix_x4_trans(uint32_t *r, const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
DEV_FN void dev_ldmatrix_x2(uint32_t *r, const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(at)
                 : "memory");
}
DEV_FN void dev_ldmatrix_x2_trans(uint32_t *r, const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(at)
                 : "memory");
}
DEV_FN void dev_mma_f16_k8(float *c, const uint32_t *a, uint32_t b)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b));
}
DEV_FN void dev_mma_s8_k16(int *c, uint32_t a, uint32_t b)
{
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+r"(c[0]), "+r"(c[1])
                 : "r"(a), "r"(b));
}
#if DEV_ARCH >= 80
DEV_FN void dev_mma_f16(float *c, const uint32_t *a, const uint32_t *b)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEV_FN void dev_mma_s8(int *c, const uint32_t *a, const uint32_t *b)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

#else

#define dev_ldmatrix_x4(r, row)       emu_ldmatrix((r), (row), 4, 0, EMU_HERE)
#define dev_ldmatrix_x4_trans(r, row) emu_ldmatrix((r), (row), 4, 1, EMU_HERE)
#define dev_ldmatrix_x2(r, row)       emu_ldmatrix((r), (row), 2, 0, EMU_HERE)
#define dev_ldmatrix_x2_trans(r, row) emu_ldmatrix((r), (row), 2, 1, EMU_HERE)
#define dev_mma_f16_k8(c, a, b)       emu_mma_f16_k8((c), (a), (b), EMU_HERE)
#define dev_mma_s8_k16(c, a, b)       emu_mma_s8_k16((c), (a), (b), EMU_HERE)
#if DEV_ARCH >= 80
#define dev_mma_f16(c, a, b) emu_mma_f16((c), (a), (b), EMU_HERE)
#define dev_mma_s8(c, a, b)  emu_mma_s8((c), (a), (b), EMU_HERE)
#endif

#endif

#if DEV_ARCH < 80
DEV_FN void dev_mma_f16(float *c, const uint32_t *a, const uint32_t *b)
{
    dev_mma_f16_k8(c, a, b[0]);
    dev_mma_f16_k8(c, a + 2, b[1]);
}
DEV_FN void dev_mma_s8(int *c, const uint32_t *a, const uint32_t *b)
{
    dev_mma_s8_k16(c, a[0], b[0]);
    dev_mma_s8_k16(c, a[2], b[1]);
    dev_mma_s8_k16(c + 2, a[1], b[0]);
    dev_mma_s8_k16(c + 2, a[3], b[1]);
}
#endif
#endif

#endif
