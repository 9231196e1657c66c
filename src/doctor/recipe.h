/* What a user pastes so that a container, a pod or a service gets the GPU. */
#ifndef DOCTOR_RECIPE_H
#define DOCTOR_RECIPE_H

#include "doctor/facts.h"

enum recipe { RECIPE_COMPOSE, RECIPE_DAEMON, RECIPE_PODMAN, RECIPE_K8S, RECIPE_SYSTEMD, RECIPES };

/* recipe_write: with the GPUs' ids and nodes as far as the facts know them. */
void recipe_write(enum recipe which, const struct facts *f, struct strbuf *out);

#endif
