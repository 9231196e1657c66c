#include "gpu/gpu_image.h"
#include <string.h>

/* GPU_IMAGES is the path of the file, from the Makefile. */
#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "gpu_image_begin:\n"
        ".incbin \"" TEXT(GPU_IMAGES) "\"\n"
                                      "gpu_image_end:\n"
                                      ".byte 0\n"
                                      ".popsection\n");
extern const char gpu_image_begin[], gpu_image_end[];

enum { HEAD = 16, ROW = 24, MOST = 64 };

struct str gpu_image_file(void)
{
    return (struct str){gpu_image_begin, (size_t)(gpu_image_end - gpu_image_begin)};
}

static uint32_t u32_at(struct str file, size_t at)
{
    uint32_t x;
    memcpy(&x, file.p + at, sizeof x);
    return x;
}

static uint64_t u64_at(struct str file, size_t at)
{
    uint64_t x;
    memcpy(&x, file.p + at, sizeof x);
    return x;
}

static int damaged(struct err *e, const char *what)
{
    return err_set(e, E_DEVICE, "the GPU images in this program are damaged: %s", what);
}

int gpu_image_count(struct str file, int *n, struct err *e)
{
    *n = 0;
    if (file.n == 0) return 0;
    if (file.n < HEAD || memcmp(file.p, "lodeimg1", 8) != 0) return damaged(e, "no header");
    uint32_t count = u32_at(file, 8);
    if (count > MOST || file.n < HEAD + (size_t)count * ROW) return damaged(e, "cut off");
    for (uint32_t i = 0; i < count; i++) {
        size_t row = HEAD + (size_t)i * ROW;
        uint64_t at = u64_at(file, row + 8), bytes = u64_at(file, row + 16);
        if (at > file.n || bytes > file.n - at || bytes < 16) return damaged(e, "cut off");
        bool ptx = u32_at(file, row) == GPU_IMAGE_PTX;
        if (u32_at(file, row) > GPU_IMAGE_PTX || u32_at(file, row + 4) > 999)
            return damaged(e, "an image of unknown kind");
        if (ptx ? file.p[at + bytes - 1] != 0 : memcmp(file.p + at, "\177ELF", 4) != 0)
            return damaged(e, "an image is neither ELF nor PTX");
    }
    *n = (int)count;
    return 0;
}

struct gpu_image gpu_image_at(struct str file, int i)
{
    size_t row = HEAD + (size_t)i * ROW;
    return (struct gpu_image){.kind = (enum gpu_image_kind)u32_at(file, row),
                              .sm = (int)u32_at(file, row + 4),
                              .data = file.p + u64_at(file, row + 8),
                              .bytes = (size_t)u64_at(file, row + 16)};
}

int gpu_image_rank(const struct gpu_image *image, int sm)
{
    switch (image->kind) {
    case GPU_IMAGE_EXACT:
        return image->sm == sm ? 4000 : 0;
    case GPU_IMAGE_CUBIN:
        return image->sm / 10 == sm / 10 && image->sm <= sm ? 2000 + image->sm : 0;
    default:
        return image->sm <= sm ? 1000 + image->sm : 0;
    }
}

void gpu_image_list(struct strbuf *out)
{
    static const char *const before[] = {"sm_", "sm_", "ptx_"}, *const after[] = {"", "a", ""};
    struct err ignored;
    struct str file = gpu_image_file();
    int n;
    if (gpu_image_count(file, &n, &ignored) || n == 0) {
        strbuf_text(out, "no (built without NVRTC: make gpu-wheels, then make)");
        return;
    }
    strbuf_text(out, "NVIDIA, images for");
    for (int i = 0; i < n; i++) {
        struct gpu_image image = gpu_image_at(file, i);
        strbuf_format(out, " %s%d%s", before[image.kind], image.sm, after[image.kind]);
    }
}
