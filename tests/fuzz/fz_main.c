/* The fuzz targets without a fuzzer: every file named on the command line is fed to the target as
 * it is, cut at each 1/64th, and with bytes changed at places that are the same in every run. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { CUTS = 64, CHANGES = 100, MOST_WORK = 16 << 20 };

static struct {
    const char *file, *what;
    int number;
} at;

static void died(void)
{
    fprintf(stderr, "the input was %s, %s %d\n", at.file, at.what, at.number);
}

/* A copy of the exact size, so that a read past the end is seen. */
static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) exit(1);
    if (size) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13; /* xorshift32, Marsaglia 2003 */
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void change(uint8_t *data, size_t size, uint32_t *state)
{
    static const uint8_t nasty[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\\', '\n', '-', '9'};
    for (uint32_t n = next(state) % 4 + 1; n > 0; n--) {
        /* half of the changes in the first 64 bytes, where headers are */
        size_t within = next(state) % 2 && size > 64 ? 64 : size;
        size_t place = next(state) % within;
        data[place] = next(state) % 2 ? nasty[next(state) % sizeof nasty] : (uint8_t)next(state);
    }
}

static void replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    size_t size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(size + 1), *changed = malloc(size + 1);
    if (!data || !changed || fread(data, 1, size, f) != size) {
        perror(path);
        exit(1);
    }
    fclose(f);
    at.file = path;
    at.what = "whole";
    feed(data, size);
    at.what = "cut";
    for (at.number = 0; at.number < CUTS && size > 0; at.number++)
        feed(data, size * (size_t)at.number / CUTS);
    at.what = "change";
    uint32_t state = 2463534242u;
    for (at.number = 0; at.number < CHANGES && size > 0; at.number++) {
        if ((size_t)at.number * size > MOST_WORK) break;
        memcpy(changed, data, size);
        change(changed, size, &state);
        feed(changed, size);
    }
    free(changed);
    free(data);
}

int main(int argc, char **argv)
{
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(died);
    if (argc < 2) {
        fprintf(stderr, "%s: no files: the corpus is missing\n", argv[0]);
        return 1;
    }
    for (int i = 1; i < argc; i++) replay(argv[i]);
    printf("%d files\n", argc - 1);
    return 0;
}
