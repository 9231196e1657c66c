#include "doctor/recipe.h"
#include <string.h>

/* Source: docs.docker.com/compose/how-tos/gpu-support. count and device_ids exclude each other. */
static void compose(const struct facts *f, struct strbuf *out)
{
    const struct fact *row;
    size_t i = 0, n = 0;
    strbuf_text(out, "# docker-compose.yml; the host needs nvidia-container-toolkit\n"
                     "services:\n"
                     "  lode:\n"
                     "    image: lode\n"
                     "    environment:\n"
                     "      NVIDIA_DRIVER_CAPABILITIES: compute,utility\n"
                     "    deploy:\n"
                     "      resources:\n"
                     "        reservations:\n"
                     "          devices:\n"
                     "            - driver: nvidia\n"
                     "              count: all\n"
                     "              capabilities: [gpu]\n");
    while ((row = facts_next(f, "nvml * uuid", &i)))
        if (facts_glob("GPU-*", row->value) &&
            strspn(row->value, "GPU-0123456789abcdef") == strlen(row->value))
            strbuf_format(out, "%s\"%.60s\"",
                          n++ ? ", "
                              : "# to give it some of them, in place of count: device_ids: [",
                          row->value);
    if (n) strbuf_text(out, "]\n");
}

static void systemd(const struct facts *f, struct strbuf *out)
{
    const struct fact *row;
    size_t i = 0;
    strbuf_text(out, "# in the [Service] part of the unit: sudo systemctl edit NAME\n"
                     "[Service]\n"
                     "PrivateDevices=no\n"
                     "SupplementaryGroups=video render\n"
                     "DevicePolicy=closed\n"
                     "DeviceAllow=/dev/nvidiactl rw\n"
                     "DeviceAllow=/dev/nvidia-uvm rw\n");
    bool any = false;
    while ((row = facts_next(f, "/dev/nvidia*", &i))) {
        const char *index = row->key + strlen("/dev/nvidia");
        if (!*index || strspn(index, "0123456789") != strlen(index)) continue;
        strbuf_format(out, "DeviceAllow=%s rw\n", row->key);
        any = true;
    }
    if (!any) strbuf_text(out, "DeviceAllow=/dev/nvidia0 rw\n");
    strbuf_text(out, "# the nodes must be there before the service starts\n"
                     "ExecStartPre=+-/usr/bin/nvidia-modprobe -u -c=0\n");
}

void recipe_write(enum recipe which, const struct facts *f, struct strbuf *out)
{
    /* Sources: nvidia-container-toolkit's and Kubernetes' documentation. cgroupfs, because with
     * systemd's a daemon-reload takes the GPU from running containers (NVIDIA/
     * nvidia-container-toolkit#48). */
    static const char *const fixed[RECIPES] = {
        [RECIPE_DAEMON] = "{\n"
                          "    \"runtimes\": {\n"
                          "        \"nvidia\": {\n"
                          "            \"path\": \"nvidia-container-runtime\",\n"
                          "            \"args\": []\n"
                          "        }\n"
                          "    },\n"
                          "    \"exec-opts\": [\"native.cgroupdriver=cgroupfs\"]\n"
                          "}\n",
        [RECIPE_PODMAN] = "# on the host, once, and after every upgrade of the driver\n"
                          "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml\n"
                          "# where SELinux is on\n"
                          "sudo setsebool -P container_use_devices on\n"
                          "# every container\n"
                          "podman run --rm --device nvidia.com/gpu=all "
                          "--security-opt=label=disable lode doctor\n",
        [RECIPE_K8S] = "# needs NVIDIA's device plugin or gpu-operator in the cluster\n"
                       "apiVersion: v1\n"
                       "kind: Pod\n"
                       "metadata:\n"
                       "  name: lode\n"
                       "spec:\n"
                       "  restartPolicy: Never\n"
                       "  # runtimeClassName: nvidia   where the nodes have several runtimes\n"
                       "  containers:\n"
                       "    - name: lode\n"
                       "      image: lode\n"
                       "      args: [\"doctor\"]\n"
                       "      env:\n"
                       "        - name: NVIDIA_DRIVER_CAPABILITIES\n"
                       "          value: compute,utility\n"
                       "      resources:\n"
                       "        limits:\n"
                       "          nvidia.com/gpu: 1\n",
    };
    if (which == RECIPE_COMPOSE)
        compose(f, out);
    else if (which == RECIPE_SYSTEMD)
        systemd(f, out);
    else
        strbuf_text(out, fixed[which]);
}
