#include "jobs/again.h"
#include "doctor/history.h"
#include <string.h>

int again_ready(const struct again_model *m, struct err *e)
{
    struct err why;
    while (m->ready(m->model, &why)) TRY(engine_retreat(m->engine, &why, e));
    return 0;
}

int again_try(const struct again *o, const struct again_model *m, int tries, struct err *e)
{
    struct err why = *e;
    if (!o || e->code != E_DEVICE) return -1;
    if (o->alone) o->alone(o->ctx);
    engine_release(m->prepared);
    TRY(engine_again(m->engine, tries, e));
    TRY(again_ready(m, e));
    const char *device = engine_device(m->engine);
    host_note(o->host, "%s: %s; going on with %s, %s", o->input, why.text, device,
              engine_describe(m->engine));
    if (strcmp(device, "cpu") == 0) history_note("", engine_reason(m->engine));
    return 0;
}
