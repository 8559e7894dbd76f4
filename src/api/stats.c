/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counters, as a struct and as JSON. One table names the fields.
 */
#include "machine/machine.h"

#include "util/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct field {
    const char *name;
    size_t offset;
} fields[] = {
#define FIELD(name)                          \
    {                                        \
#name, offsetof(microvm_stats, name) \
    }
    FIELD(entries),
    FIELD(pio_exits),
    FIELD(mmio_exits),
    FIELD(kicks),
    FIELD(irqs),
    FIELD(doorbells),
    FIELD(disk_read_bytes),
    FIELD(disk_write_bytes),
    FIELD(disk_requests),
    FIELD(console_out_bytes),
    FIELD(console_in_bytes),
    FIELD(balloon_bytes),
    FIELD(created_ns),
    FIELD(started_ns),
    FIELD(entered_ns),
    FIELD(ended_ns),
    FIELD(vsock_connections),
    FIELD(vsock_out_bytes),
    FIELD(vsock_in_bytes),
    FIELD(net_received_bytes),
    FIELD(net_received_frames),
    FIELD(net_received_drops),
    FIELD(net_sent_bytes),
    FIELD(net_sent_frames),
    FIELD(net_sent_drops),
    FIELD(net_refused_connections),
    FIELD(net_refused_names),
    FIELD(net_refused_answers),
    FIELD(net_refused_frames),
#undef FIELD
};

struct collect {
    microvm *vm;
    microvm_stats *out;
    microvm_nic *nic[MV_NETS_MAX];
    unsigned nics;
};

static void stats_collect(void *arg)
{
    struct collect *c = arg;
    c->out->created_ns = c->vm->created_ns;
    c->out->started_ns = c->vm->started_ns;
    c->out->ended_ns = c->vm->ended_ns;
    c->vm->ops->stats(c->vm, c->out);
    while (c->vm->ops->nic_at && c->nics < MV_NETS_MAX &&
           c->vm->ops->nic_at(c->vm, c->nics, &c->nic[c->nics]))
        c->nics++;
}

int microvm_get_stats(microvm *vm, microvm_stats *out, microvm_error *err)
{
    microvm_stats stats = {.size = sizeof stats};
    struct collect collect = {.vm = vm, .out = &stats};
    if (!vm || !out)
        return mv_fail(err, MICROVM_E_INVALID, "stats: the machine is NULL");
    mv_loop_run(&vm->loop, stats_collect, &collect);
    for (unsigned i = 0; i < collect.nics; i++) /* who asks waits, not the loop */
        mv_nic_stats(collect.nic[i], &stats);
    uint32_t size = out->size;
    memcpy(out, &stats, MV_MIN(size, sizeof stats));
    out->size = size;
    return 0;
}

static const char *const transports[] = {"", "mmio", "pci"};

enum { JSON_BYTES = 4096 }; /* 31 numbers of up to 20 digits, with their names */

char *microvm_stats_json(microvm *vm)
{
    microvm_stats stats = {.size = sizeof stats};
    char *text = malloc(JSON_BYTES);
    if (!text || microvm_get_stats(vm, &stats, NULL)) {
        free(text);
        return NULL;
    }
    int n = snprintf(text, JSON_BYTES,
                     "{\n  \"vcpus\": %" PRIu32 ",\n  \"transport\": \"%s\"",
                     stats.vcpus, transports[stats.transport]);
    for (unsigned i = 0; i < MV_ARRAY_LEN(fields); i++) {
        uint64_t value = mv_load64((const uint8_t *)&stats + fields[i].offset);
        n += snprintf(text + n, JSON_BYTES - (size_t)n, ",\n  \"%s\": %" PRIu64,
                      fields[i].name, value);
    }
    for (unsigned i = 0; i < MV_ARRAY_LEN(stats.boot_mark_ns); i++)
        n += snprintf(text + n, JSON_BYTES - (size_t)n, "%s%" PRIu64,
                      i ? ", " : ",\n  \"boot_mark_ns\": [", stats.boot_mark_ns[i]);
    (void)snprintf(text + n, JSON_BYTES - (size_t)n, "]\n}\n");
    return text;
}
