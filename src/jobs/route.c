#include "jobs/route.h"
#include "jobs/speech.h"
#include "jobs/tongue.h"
#include <string.h>

#define DEFAULT "default"

/* MODEL[:COMPUTE-TYPE] as a target of its own, or as one that is there. What follows the last colon
 * is a compute type unless there is a slash in it: then it is the rest of a path. */
static int read_target(struct arena *a, struct str text, struct route *r, int *out, struct err *e)
{
    char *model = arena_text(a, text.p, text.n, e);
    if (!model) return -1;
    char *colon = strrchr(model, ':');
    const char *compute_type = NULL;
    if (colon && !strchr(colon, '/')) {
        *colon = 0;
        compute_type = colon + 1;
        if (!speech_is_compute_type(compute_type))
            return err_set(e, E_USAGE,
                           "--route: \"%s\" is not a compute type: " SPEECH_COMPUTE_TYPES,
                           compute_type);
    }
    if (!*model)
        return err_set(e, E_USAGE, "--route: \"%.*s\" names no model", (int)text.n, text.p);
    for (*out = 0; *out < r->n; ++*out) {
        const struct route_target *t = &r->target[*out];
        bool same = t->compute_type && compute_type ? !strcmp(t->compute_type, compute_type)
                                                    : t->compute_type == compute_type;
        if (same && strcmp(t->model, model) == 0) return 0;
    }
    r->target[r->n++] = (struct route_target){model, compute_type};
    return 0;
}

/* LANGUAGE[+LANGUAGE..], all to one target. */
static int read_languages(struct arena *a, struct str text, int target, struct route *r,
                          struct err *e)
{
    char *names = arena_text(a, text.p, text.n, e);
    if (!names) return -1;
    for (char *p = names, *end; p; p = end) {
        int language;
        end = strchr(p, '+');
        if (end) *end++ = 0;
        if (strcmp(p, DEFAULT) == 0) {
            if (r->rest >= 0) return err_set(e, E_USAGE, "--route: default is said twice");
            r->rest = target;
            continue;
        }
        TRY(tongue_find("route", p, &language, e));
        if (r->said[language])
            return err_set(e, E_USAGE, "--route: %s is said twice", net_language_name(language));
        r->said[language] = true;
        r->of[language] = target;
    }
    return 0;
}

int route_read(struct arena *a, const char *text, struct route *r, struct err *e)
{
    size_t most = 1;
    for (const char *p = text; *p; p++) most += *p == ',';
    *r = (struct route){.rest = -1, .target = ARENA_NEW(a, struct route_target, most, e)};
    if (!r->target) return -1;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ","), sign = strcspn(p, "=");
        int target;
        if (sign >= n)
            return err_set(e, E_USAGE,
                           "--route: \"%.*s\" is not LANGUAGE=MODEL or LANGUAGE=MODEL:COMPUTE-TYPE",
                           (int)n, p);
        TRY(read_target(a, (struct str){p + sign + 1, n - sign - 1}, r, &target, e));
        TRY(read_languages(a, (struct str){p, sign}, target, r, e));
        p += n + (p[n] == ',');
    }
    if (r->rest < 0)
        return err_set(
            e, E_USAGE,
            "--route: no default=MODEL, which listens for the language and takes the rest");
    for (int i = 0; i < NET_LANGUAGES; i++)
        if (!r->said[i]) r->of[i] = r->rest;
    return 0;
}
