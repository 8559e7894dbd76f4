/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fake VM: memory slots, interrupts that are counted, bells, a clock.
 */
#include "hv/fake/inner.h"

#include "util/bytes.h"

#include <stdlib.h>

enum { FAKE_CPUS_MAX = 64 };

static void fake_probe(struct mv_hv_caps *caps)
{
    *caps = (struct mv_hv_caps){
        .usable = true,
        .cpus_max = FAKE_CPUS_MAX,
        .rungs = 1u << MV_RUNG_FULL | 1u << MV_RUNG_LOCAL,
        .bells = true,
        .detail = "scripted, for tests",
    };
}

static int fake_vm_open(const struct mv_hv_config *config, struct mv_hv_vm **out,
                        microvm_error *err)
{
    if (config->cpus < 1 || config->cpus > FAKE_CPUS_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "cpus: %u; 1 to %d are possible",
                       config->cpus, FAKE_CPUS_MAX);
    if (config->rung == MV_RUNG_NONE)
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "rung 1 has no fake");
    struct mv_hv_vm *vm = calloc(1, sizeof *vm + config->cpus * sizeof vm->vcpu[0]);
    if (!vm)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a VM");
    if (uv_mutex_init(&vm->lock)) {
        free(vm);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a lock");
    }
    if (uv_cond_init(&vm->changed)) {
        uv_mutex_destroy(&vm->lock);
        free(vm);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a condition");
    }
    if (uv_mutex_init(&vm->gather_lock)) {
        uv_cond_destroy(&vm->changed);
        uv_mutex_destroy(&vm->lock);
        free(vm);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a lock");
    }
    vm->gathered = -1;
    vm->config = *config;
    vm->clock_base_ns = uv_hrtime();
    *out = vm;
    return 0;
}

static void fake_vm_close(struct mv_hv_vm *vm)
{
    if (!vm)
        return;
    uv_mutex_destroy(&vm->gather_lock);
    uv_cond_destroy(&vm->changed);
    uv_mutex_destroy(&vm->lock);
    free(vm);
}

static int fake_vm_setup(struct mv_hv_vm *vm, microvm_error *err)
{
    (void)err;
    uv_mutex_lock(&vm->lock);
    vm->record.setups++;
    uv_mutex_unlock(&vm->lock);
    return 0;
}

/* The slot to put new memory into, or NULL and why not. */
static struct fake_slot *fake_slot_for(struct mv_hv_vm *vm, uint64_t gpa, uint64_t size,
                                       microvm_error *err)
{
    struct fake_slot *found = NULL;
    for (unsigned i = 0; i < MV_FAKE_SLOTS_MAX; i++) {
        struct fake_slot *slot = &vm->slot[i];
        if (slot->size == 0) {
            found = slot;
        } else if (mv_overlap(gpa, size, slot->gpa, slot->size)) {
            (void)mv_fail(err, MICROVM_E_HYPERVISOR, "guest memory overlaps at 0x%llx",
                          (unsigned long long)gpa);
            return NULL;
        }
    }
    if (!found)
        (void)mv_fail(err, MICROVM_E_HYPERVISOR, "more than %d pieces of guest memory",
                      MV_FAKE_SLOTS_MAX);
    return found;
}

static int fake_mem_map(struct mv_hv_vm *vm, uint64_t gpa, void *host, uint64_t size,
                        microvm_error *err)
{
    uint64_t end;
    if (size == 0 || (gpa | size | (uintptr_t)host) & 0xfff || !mv_add(gpa, size, &end))
        return mv_fail(err, MICROVM_E_INVALID, "guest memory is not whole pages");
    uv_mutex_lock(&vm->lock);
    struct fake_slot *slot = fake_slot_for(vm, gpa, size, err);
    if (slot) {
        *slot = (struct fake_slot){gpa, size, host};
        vm->record.maps++;
    }
    uv_mutex_unlock(&vm->lock);
    return slot ? 0 : MICROVM_E_HYPERVISOR;
}

static int fake_mem_unmap(struct mv_hv_vm *vm, uint64_t gpa, uint64_t size,
                          microvm_error *err)
{
    bool found = false;
    uv_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < MV_FAKE_SLOTS_MAX && !found; i++) {
        found = size && vm->slot[i].gpa == gpa && vm->slot[i].size == size;
        if (found)
            vm->slot[i].size = 0;
    }
    vm->record.unmaps += found;
    uv_mutex_unlock(&vm->lock);
    return found ? 0
                 : mv_fail(err, MICROVM_E_INVALID,
                           "no guest memory is mapped so at 0x%llx",
                           (unsigned long long)gpa);
}

static int fake_clock_get(struct mv_hv_vm *vm, uint64_t *ns, microvm_error *err)
{
    (void)err;
    *ns = uv_hrtime() - vm->clock_base_ns;
    return 0;
}

static int fake_clock_set(struct mv_hv_vm *vm, uint64_t ns, microvm_error *err)
{
    (void)err;
    vm->clock_base_ns = uv_hrtime() - ns;
    uv_mutex_lock(&vm->lock);
    vm->record.clock_sets++;
    uv_mutex_unlock(&vm->lock);
    return 0;
}

static void fake_irq_line(struct mv_hv_vm *vm, unsigned gsi, bool level)
{
    if (gsi >= MV_FAKE_LINES)
        return;
    uv_mutex_lock(&vm->lock);
    if (level && !vm->record.level[gsi]) {
        vm->record.edges[gsi]++;
        vm->edges[gsi]++;
        mv_fake_change(vm);
    }
    vm->record.level[gsi] = level;
    uv_mutex_unlock(&vm->lock);
}

static void fake_irq_msi(struct mv_hv_vm *vm, uint64_t address, uint32_t data)
{
    if (address >> 20 != 0xfee) /* Intel SDM Vol. 3, 11.11.1 */
        return;
    uv_mutex_lock(&vm->lock);
    vm->record.msis[data & 0xff]++;
    vm->msis[data & 0xff]++;
    mv_fake_change(vm);
    uv_mutex_unlock(&vm->lock);
}

static int fake_irq_bind(struct mv_hv_vm *vm, unsigned gsi, intptr_t fd,
                         microvm_error *err)
{
    (void)vm;
    (void)fd;
    return mv_fail(err, MICROVM_E_UNSUPPORTED, "interrupt %u: no eventfds here", gsi);
}

static int fake_irq_routes(struct mv_hv_vm *vm, const struct mv_hv_route *route,
                           unsigned count, microvm_error *err)
{
    (void)route;
    if (vm->config.rung != MV_RUNG_LOCAL)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "interrupt routes are for the split interrupt controller");
    if (count > MV_FAKE_LINES)
        return mv_fail(err, MICROVM_E_INVALID, "%u interrupt routes, %d at most", count,
                       MV_FAKE_LINES);
    uv_mutex_lock(&vm->lock);
    vm->record.routes++;
    uv_mutex_unlock(&vm->lock);
    return 0;
}

static struct fake_bell *fake_bell_find(struct mv_hv_vm *vm, uint64_t gpa,
                                        unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < vm->bells; i++) {
        struct fake_bell *b = &vm->bell[i];
        bool any = b->size == 0 || size == 0;
        if (b->gpa == gpa && (any || (b->size == size && b->value == value)))
            return b;
    }
    return NULL;
}

static int fake_bell_bind(struct mv_hv_vm *vm, uint64_t gpa, unsigned size,
                          uint64_t value, struct mv_bell *bell, microvm_error *err)
{
    int rc = 0;
    uv_mutex_lock(&vm->lock);
    if (fake_bell_find(vm, gpa, size, value))
        rc = mv_fail(err, MICROVM_E_HYPERVISOR, "a bell is there already");
    else if (vm->bells == MV_FAKE_BELLS_MAX)
        rc =
            mv_fail(err, MICROVM_E_HYPERVISOR, "more than %d bells", MV_FAKE_BELLS_MAX);
    else
        vm->bell[vm->bells++] = (struct fake_bell){gpa, value, size, bell};
    uv_mutex_unlock(&vm->lock);
    return rc;
}

static int fake_bell_unbind(struct mv_hv_vm *vm, uint64_t gpa, unsigned size,
                            uint64_t value, struct mv_bell *bell, microvm_error *err)
{
    int rc = 0;
    uv_mutex_lock(&vm->lock);
    struct fake_bell *found = fake_bell_find(vm, gpa, size, value);
    if (found && found->bell == bell && found->size == size)
        *found = vm->bell[--vm->bells];
    else
        rc = mv_fail(err, MICROVM_E_HYPERVISOR, "this bell is not there");
    uv_mutex_unlock(&vm->lock);
    return rc;
}

/* With gather_lock held, so that they come up in one order. */
static void fake_gather_up(struct mv_hv_vm *vm)
{
    for (unsigned i = 0; i < vm->waits; i++)
        vm->config.up->pio_write(vm->config.up_ctx, (uint16_t)vm->gathered, 1,
                                 vm->waiting[i]);
    vm->waits = 0;
}

void mv_fake_pio_flush(struct mv_hv_vm *vm)
{
    uv_mutex_lock(&vm->gather_lock);
    fake_gather_up(vm);
    uv_mutex_unlock(&vm->gather_lock);
}

static int fake_pio_gather(struct mv_hv_vm *vm, uint16_t port, bool on,
                           microvm_error *err)
{
    uv_mutex_lock(&vm->gather_lock);
    int rc = on && vm->gathered >= 0
                 ? mv_fail(err, MICROVM_E_STATE, "a port is gathered already")
                 : 0;
    if (!rc) {
        fake_gather_up(vm);
        vm->gathered = on ? port : -1;
    }
    uv_mutex_unlock(&vm->gather_lock);
    return rc;
}

void mv_fake_record_get(struct mv_hv_vm *vm, struct mv_fake_record *out)
{
    uv_mutex_lock(&vm->lock);
    *out = vm->record;
    uv_mutex_unlock(&vm->lock);
}

const struct mv_hv_ops mv_fake_ops = {
    .name = "fake",
    .probe = fake_probe,
    .vm_open = fake_vm_open,
    .vm_close = fake_vm_close,
    .mem_map = fake_mem_map,
    .mem_unmap = fake_mem_unmap,
    .vm_setup = fake_vm_setup,
    .clock_get = fake_clock_get,
    .clock_set = fake_clock_set,
    .irq_line = fake_irq_line,
    .irq_msi = fake_irq_msi,
    .irq_bind = fake_irq_bind,
    .irq_routes = fake_irq_routes,
    .bell_bind = fake_bell_bind,
    .bell_unbind = fake_bell_unbind,
    .pio_gather = fake_pio_gather,
    .pio_flush = mv_fake_pio_flush,
    .vcpu_open = mv_fake_vcpu_open,
    .vcpu_close = mv_fake_vcpu_close,
    .vcpu_get = mv_fake_vcpu_get,
    .vcpu_set = mv_fake_vcpu_set,
    .vcpu_run = mv_fake_vcpu_run,
    .vcpu_kick = mv_fake_vcpu_kick,
    .vcpu_counts = mv_fake_vcpu_counts,
};
