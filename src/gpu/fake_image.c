/* The rules by which NVIDIA's drivers take or refuse an image.
 *
 * Source: CUDA Compatibility (docs.nvidia.com/deploy/cuda-compatibility), PTX ISA release history,
 * and the headers of what NVRTC 11.8 to 13.0 write: up to 12.9 EI_OSABI 0x33 with the architecture
 * in the lowest byte of e_flags, 13.0 EI_OSABI 0x41 with it in the second byte. */
#include "gpu/fake_image.h"

#include <elf.h>
#include <string.h>

#define MACHINE_CUDA  190  /* e_machine */
#define OSABI_CUDA_12 0x33 /* and before */
#define OSABI_CUDA_13 0x41
#define FLAG_ONLY     0x800 /* sm_90a and its like: for that architecture alone */
#define IMAGE_MOST    ((size_t)256 << 20)

#define KERNEL(name, arch) extern const struct emu_kernel k_##name##_##arch;
#include "gpu/kernels.def"
#undef KERNEL

static const struct {
    int arch;
    const struct emu_kernel *kernel;
} kernels[] = {
#define KERNEL(name, arch) {arch, &k_##name##_##arch},
#include "gpu/kernels.def"
#undef KERNEL
    {0, NULL},
};

static int load_elf(const Elf64_Ehdr *h, int cuda, int sm, struct fake_image *out)
{
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_machine != MACHINE_CUDA) return 200;
    if (h->e_ident[EI_OSABI] == OSABI_CUDA_13) {
        if (cuda < 13000) return 200;
        out->sm = (int)(h->e_flags >> 8 & 0xff);
    } else if (h->e_ident[EI_OSABI] == OSABI_CUDA_12) {
        out->sm = (int)(h->e_flags & 0xff);
    } else {
        return 200;
    }
    if (out->sm / 10 != sm / 10 || out->sm > sm) return 209;
    if (h->e_flags & FLAG_ONLY && out->sm != sm) return 209;
    if (h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shnum == 0 || h->e_shoff > IMAGE_MOST)
        return 200;
    out->bytes = h->e_shoff + (size_t)h->e_shnum * sizeof(Elf64_Shdr);
    if (h->e_phnum && h->e_phoff < IMAGE_MOST && h->e_phoff > out->bytes) out->bytes = h->e_phoff;
    return 0;
}

/* "MAJOR.MINOR" behind a word; 10 * major + minor, or -1. */
static int after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    if (!at) return -1;
    at += strlen(word);
    int v = 0, digits = 0;
    for (; (*at >= '0' && *at <= '9') || *at == '.'; at++)
        if (*at != '.') {
            v = 10 * v + *at - '0';
            if (++digits > 4) return -1;
        }
    return digits ? v : -1;
}

/* The newest PTX ISA that the driver of a CUDA version knows, 10 * major + minor. CUDA 12.5 and
 * 12.6 both know 8.5. */
static int isa_of(int cuda)
{
    int major = cuda / 1000, minor = cuda % 1000 / 10;
    if (major >= 13) return 90 + minor;
    if (major == 12) return 80 + (minor <= 5 ? minor : minor - 1);
    return 70 + minor;
}

static int load_text(const char *text, int cuda, int sm, struct fake_image *out)
{
    int isa = after(text, ".version "), target = after(text, ".target sm_");
    if (isa < 0 || target < 0) return 218;
    if (isa > isa_of(cuda)) return 222;
    if (target > sm) return 209;
    const char *at = strstr(text, ".target sm_") + strlen(".target sm_");
    while (*at >= '0' && *at <= '9') at++;
    if (*at == 'a' && target != sm) return 209;
    out->sm = target;
    out->bytes = strlen(text);
    out->text = true;
    return 0;
}

int fake_image_load(const void *image, int cuda, int sm, struct fake_image *out)
{
    *out = (struct fake_image){.sm = sm, .at = image};
    const char *text = image;
    if (memcmp(text, ELFMAG, SELFMAG) == 0) {
        Elf64_Ehdr h;
        memcpy(&h, image, sizeof h);
        return load_elf(&h, cuda, sm, out);
    }
    if (strncmp(text, FAKE_IMAGE_STAND_IN, strlen(FAKE_IMAGE_STAND_IN)) == 0) return 0;
    if (strncmp(text, "//", 2) && text[0] != '.' && text[0] != '\n') return 200;
    return load_text(text, cuda, sm, out);
}

/* Symbol names stand in the string table, each with a zero before and behind it. */
static bool named(const struct fake_image *i, const char *name)
{
    char word[200];
    size_t n = strlen(name);
    if (i->bytes == 0) return true;
    if (n + 3 > sizeof word) return false;
    memset(word, 0, sizeof word);
    if (!i->text) {
        memcpy(word + 1, name, n);
        return memmem(i->at, i->bytes, word, n + 2) != NULL;
    }
    memcpy(word, name, n);
    word[n] = '(';
    for (const char *at = i->at; (at = strstr(at, ".entry ")); at++)
        if (strncmp(at + strlen(".entry "), word, n + 1) == 0) return true;
    return false;
}

const struct emu_kernel *fake_image_kernel(const struct fake_image *i, const char *name)
{
    const struct emu_kernel *best = NULL;
    int arch = 0;
    for (size_t k = 0; kernels[k].kernel; k++)
        if (strcmp(kernels[k].kernel->name, name) == 0 && kernels[k].arch <= i->sm &&
            kernels[k].arch > arch) {
            best = kernels[k].kernel;
            arch = kernels[k].arch;
        }
    return best && named(i, name) ? best : NULL;
}
