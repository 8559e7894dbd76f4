/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What this computer can do: asks every backend of the build.
 */
#include "hv/hv.h"
#include "machine/machine.h"
#include "util/bytes.h"

#include <stdio.h>

static uint32_t probe_features(const struct mv_hv_ops *hv,
                               const struct mv_hv_caps *caps)
{
    if (!caps->usable)
        return 0;
    uint32_t features = MICROVM_FEATURE_PAUSE | MICROVM_FEATURE_SHUTDOWN;
    if (caps->cpus_max > 1)
        features |= MICROVM_FEATURE_SMP;
    if (hv->irq_msi && caps->rungs & 1u << MV_RUNG_LOCAL)
        features |= MICROVM_FEATURE_IRQ_SPLIT;
    return features;
}

static void probe_one(const struct mv_hv_ops *hv, microvm_backend *out)
{
    struct mv_hv_caps caps = {.usable = false};
    microvm_backend found = {.size = sizeof found};
    uint32_t size = out->size;
    hv->probe(&caps);
    (void)snprintf(found.name, sizeof found.name, "%s", hv->name);
    found.usable = caps.usable;
    found.features = probe_features(hv, &caps);
    found.cpus_max = caps.usable ? MV_MIN(caps.cpus_max, MV_CPUS_MAX) : 0;
    memcpy(found.detail, caps.detail, sizeof found.detail);
    memcpy(found.reason, caps.reason, sizeof found.reason);
    memcpy(found.fix, caps.fix, sizeof found.fix);
    memcpy(out, &found, MV_MIN(size, sizeof found));
    out->size = size;
}

unsigned mv_hv_machine_probe(microvm_backend *out, unsigned capacity)
{
    unsigned known = 0;
    for (; mv_hv_backends[known]; known++) {
        if (out && known < capacity)
            probe_one(mv_hv_backends[known], &out[known]);
    }
    return known;
}
