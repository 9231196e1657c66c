/* SVG 1.1; PNG (ISO 15948) with a palette, its bytes stored and not squeezed. */
#include "jobs/plot.h"
#include <math.h>
#include <string.h>

enum { WIDE = 1000, HIGH = 800, EDGE = 40, MOST_SVG = 20000, COLOURS = 20, RADIUS = 2 };

/* Far apart to the eye, in turn; the last one is noise. */
static const uint8_t colours[COLOURS + 2][3] = {
    {31, 119, 180},  {255, 127, 14},  {44, 160, 44},   {214, 39, 40},  {148, 103, 189},
    {140, 86, 75},   {227, 119, 194}, {188, 189, 34},  {23, 190, 207}, {57, 59, 121},
    {99, 121, 57},   {140, 109, 49},  {132, 60, 57},   {123, 65, 115}, {49, 130, 189},
    {230, 85, 13},   {49, 163, 84},   {117, 107, 177}, {82, 84, 163},  {206, 109, 189},
    {190, 190, 190}, {255, 255, 255}};

struct view { /* from the plane to the paper */
    float low[2], span[2];
};

static int colour_of(int32_t label)
{
    return label < 0 ? COLOURS : label % COLOURS;
}

static struct view view_of(const float *points, int64_t n)
{
    struct view v = {{INFINITY, INFINITY}, {0, 0}};
    float high[2] = {-INFINITY, -INFINITY};
    for (int64_t i = 0; i < 2 * n; i++) {
        v.low[i % 2] = fminf(v.low[i % 2], points[i]);
        high[i % 2] = fmaxf(high[i % 2], points[i]);
    }
    for (int i = 0; i < 2; i++) v.span[i] = high[i] > v.low[i] ? high[i] - v.low[i] : 1;
    return v;
}

static void place(const struct view *v, const float *p, double *x, double *y)
{
    *x = EDGE + (double)((p[0] - v->low[0]) / v->span[0]) * (WIDE - 2 * EDGE);
    *y = HIGH - EDGE - (double)((p[1] - v->low[1]) / v->span[1]) * (HIGH - 2 * EDGE);
}

static int write_svg(struct file_out *f, const char *title, const float *points,
                     const int32_t *label, int64_t n, struct err *e)
{
    struct view v = view_of(points, n);
    int64_t every = (n + MOST_SVG - 1) / MOST_SVG;
    TRY(file_out_format(f, e,
                        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\">\n"
                        "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n"
                        "<text x=\"%d\" y=\"24\" font-family=\"sans-serif\" font-size=\"16\">%s",
                        WIDE, HIGH, WIDE, HIGH, EDGE, title));
    if (every > 1) TRY(file_out_format(f, e, ", one point of %lld", (long long)every));
    TRY(file_out_format(f, e, "</text>\n"));
    for (int64_t i = 0; i < n; i += every) {
        const uint8_t *c = colours[colour_of(label[i])];
        double x, y;
        place(&v, points + 2 * i, &x, &y);
        TRY(file_out_format(f, e,
                            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"#%02x%02x%02x\"/>\n",
                            x, y, RADIUS, c[0], c[1], c[2]));
    }
    return file_out_format(f, e, "</svg>\n");
}

/* ---- PNG --------------------------------------------------------------------------------------
 */

static void put_u32(uint8_t *p, uint32_t x)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(x >> (24 - 8 * i));
}

static uint32_t crc_on(uint32_t crc, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return crc;
}

static int put_chunk(struct file_out *f, const char *name, const uint8_t *p, size_t n,
                     struct err *e)
{
    uint8_t head[8], tail[4];
    put_u32(head, (uint32_t)n);
    memcpy(head + 4, name, 4);
    put_u32(tail, ~crc_on(crc_on(~0u, head + 4, 4), p, n));
    TRY(file_out_write(f, head, sizeof head, e));
    TRY(file_out_write(f, p, n, e));
    return file_out_write(f, tail, sizeof tail, e);
}

static void draw(const float *points, const int32_t *label, int64_t n, uint8_t *paper)
{
    struct view v = view_of(points, n);
    memset(paper, COLOURS + 1, (size_t)WIDE * HIGH);
    for (int64_t i = 0; i < n; i++) {
        double x, y;
        place(&v, points + 2 * i, &x, &y);
        for (int dy = -RADIUS; dy <= RADIUS; dy++)
            for (int dx = -RADIUS; dx <= RADIUS; dx++)
                if (dx * dx + dy * dy <= RADIUS * RADIUS)
                    paper[((int)y + dy) * WIDE + (int)x + dx] = (uint8_t)colour_of(label[i]);
    }
}

/* Every line is a block of deflate that is not squeezed, and begins with filter 0. */
static int write_png(struct arena *a, struct file_out *f, const float *points, const int32_t *label,
                     int64_t n, struct err *e)
{
    uint8_t head[13] = {0}, palette[3 * (COLOURS + 2)];
    size_t line = WIDE + 1, block = line + 5, bytes = 2 + HIGH * block + 4;
    uint8_t *paper = ARENA_NEW(a, uint8_t, (size_t)WIDE * HIGH, e), *data, *at;
    uint32_t low = 1, high = 0;
    if (!paper || !(data = ARENA_NEW(a, uint8_t, bytes, e))) return -1;
    draw(points, label, n, paper);
    memcpy(palette, colours, sizeof palette);
    put_u32(head, WIDE);
    put_u32(head + 4, HIGH);
    head[8] = 8; /* bits */
    head[9] = 3; /* of a palette */
    at = data;
    *at++ = 0x78;
    *at++ = 0x01;
    for (int y = 0; y < HIGH; y++) {
        *at++ = y == HIGH - 1;
        *at++ = line & 255;
        *at++ = line >> 8;
        *at++ = ~line & 255;
        *at++ = ~line >> 8 & 255;
        *at = 0;
        memcpy(at + 1, paper + (size_t)y * WIDE, WIDE);
        for (size_t i = 0; i < line; i++, at++) {
            low = (low + *at) % 65521;
            high = (high + low) % 65521;
        }
    }
    put_u32(at, high << 16 | low);
    TRY(file_out_write(f, "\x89PNG\r\n\x1a\n", 8, e));
    TRY(put_chunk(f, "IHDR", head, sizeof head, e));
    TRY(put_chunk(f, "PLTE", palette, sizeof palette, e));
    TRY(put_chunk(f, "IDAT", data, bytes, e));
    return put_chunk(f, "IEND", head, 0, e);
}

int plot_check(const char *path, struct err *e)
{
    if (str_ends(path, ".svg") || str_ends(path, ".png")) return 0;
    return err_set(e, E_USAGE, "--plot takes a file .svg or .png, not \"%s\"", path);
}

int plot_save(struct arena *a, const char *path, const char *title, const float *points,
              const int32_t *label, int64_t n, struct err *e)
{
    struct file_out f;
    TRY(plot_check(path, e));
    TRY(file_out_open(a, path, &f, e));
    int rc = str_ends(path, ".png") ? write_png(a, &f, points, label, n, e)
                                    : write_svg(&f, title, points, label, n, e);
    if (rc == 0) rc = file_out_commit(&f, e);
    if (rc) file_out_abort(&f);
    return rc;
}
