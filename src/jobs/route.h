/* Which model takes which language: "en=tiny.en:int8,hi+ta=medium:float16,default=medium". Pure
 * text; whether the models speak what they are to take is found out by who opens them. */
#ifndef JOBS_ROUTE_H
#define JOBS_ROUTE_H

#include "base/arena.h"
#include "nets/net_language.h"

struct route_target {
    const char *model;
    const char *compute_type; /* NULL: not said */
};

struct route {
    int of[NET_LANGUAGES];       /* the target that takes a language */
    bool said[NET_LANGUAGES];    /* it is named, not one of the rest */
    struct route_target *target; /* [n], each once */
    int n, rest;                 /* rest: the target of all other languages ("default") */
};

/* route_read: LANGUAGE[+LANGUAGE..]=MODEL[:COMPUTE-TYPE], separated by commas; one of them is
 * default=MODEL. out lives in a. E_USAGE: no default, a language twice or unknown, no model, a
 * compute type nobody knows. */
int route_read(struct arena *a, const char *text, struct route *out, struct err *e);

#endif
