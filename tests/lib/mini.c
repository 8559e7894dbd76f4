/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The smallest machine. Long mode guests find an identity map of the first and the
 * fourth GiB, flat segments, a stack; all of it is built here.
 */
#include "mini.h"

#include "os/mem.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GDT = 0x500,
    PML4 = 0x1000,
    PDPT = 0x2000,
    PD_FIRST = 0x3000,
    PD_FOURTH = 0x4000,
    STACK = 0x9000
};

struct mini_subject mini_subject(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "fake";
    struct mini_subject subject = {NULL, MV_RUNG_FULL};
    struct mv_hv_caps caps;
    if (strcmp(name, "fake") == 0) {
        subject.hv = &mv_fake_ops;
        return subject;
    }
    for (unsigned i = 0; mv_hv_backends[i]; i++)
        if (strncmp(name, mv_hv_backends[i]->name, strlen(name) - 1) == 0)
            subject.hv = mv_hv_backends[i];
    if (!subject.hv) {
        printf("SKIP: this build has no hypervisor %s\n", name);
        exit(77);
    }
    subject.rung = (enum mv_hv_rung)(name[strlen(name) - 1] - '0');
    subject.hv->probe(&caps);
    if (!caps.usable || !(caps.rungs & 1u << subject.rung)) {
        printf("SKIP: %s: %s; %s\n", name, caps.reason, caps.fix);
        exit(77);
    }
    return subject;
}

static void mini_record(struct mini *mini, struct mini_access access)
{
    if (mini->accesses < MINI_ACCESSES_MAX)
        mini->access[mini->accesses++] = access;
}

static uint64_t mini_pio_read(void *ctx, uint16_t port, unsigned size)
{
    mini_record(ctx, (struct mini_access){true, false, port, 0, size});
    return MINI_ANSWER;
}

static void mini_pio_write(void *ctx, uint16_t port, unsigned size, uint64_t value)
{
    struct mini *mini = ctx;
    if (port != MINI_PORT_SAY) {
        mini_record(mini, (struct mini_access){true, true, port, value, size});
        return;
    }
    if (value == 'm' && mini->in_service)
        mini->in_service(mini);
    atomic_store(&mini->last, (int)value);
    atomic_fetch_add(&mini->ticks, value == 't' || value == 'u');
    atomic_fetch_add(&mini->said, 1);
    if (value == 'Y' || value == 'N')
        mini->hv->vcpu_kick(mini->vcpu);
}

static uint64_t mini_mmio_read(void *ctx, uint64_t gpa, unsigned size)
{
    mini_record(ctx, (struct mini_access){false, false, gpa, 0, size});
    return MINI_ANSWER;
}

static void mini_mmio_write(void *ctx, uint64_t gpa, unsigned size, uint64_t value)
{
    struct mini *mini = ctx;
    atomic_fetch_add(&mini->written, 1);
    mini_record(mini, (struct mini_access){false, true, gpa, value, size});
}

static void mini_eoi(void *ctx, uint8_t vector)
{
    struct mini *mini = ctx;
    atomic_store(&mini->eoi, vector);
}

static const struct mv_hv_up mini_up = {
    .pio_read = mini_pio_read,
    .pio_write = mini_pio_write,
    .mmio_read = mini_mmio_read,
    .mmio_write = mini_mmio_write,
    .eoi = mini_eoi,
};

static void mini_tables(uint8_t *memory)
{
    enum { USED = 0x03, LARGE = 0x83 }; /* present, writable; 2 MiB page */
    mv_store64(memory + PML4, PDPT | USED);
    mv_store64(memory + PDPT, PD_FIRST | USED);
    mv_store64(memory + PDPT + 3 * 8, PD_FOURTH | USED);
    for (uint64_t i = 0; i < 512; i++) {
        mv_store64(memory + PD_FIRST + i * 8, MV_MIB(2) * i | LARGE);
        mv_store64(memory + PD_FOURTH + i * 8, (MV_GIB(3) + MV_MIB(2) * i) | LARGE);
    }
    mv_store64(memory + GDT + 8, 0x00af9b000000ffff);  /* 64-bit code */
    mv_store64(memory + GDT + 16, 0x00cf93000000ffff); /* data */
}

static void mini_long_mode(struct mv_x86_cpu *cpu)
{
    const struct mv_x86_segment data = {.limit = 0xffffffff,
                                        .selector = 16,
                                        .type = 3,
                                        .present = true,
                                        .db = true,
                                        .s = true,
                                        .g = true};
    cpu->ds = cpu->es = cpu->fs = cpu->gs = cpu->ss = data;
    cpu->cs = data;
    cpu->cs.selector = 8;
    cpu->cs.type = 11;
    cpu->cs.db = false;
    cpu->cs.l = true;
    cpu->gdt = (struct mv_x86_table){GDT, 23};
    cpu->idt = (struct mv_x86_table){0, 0};
    cpu->cr3 = PML4;
    cpu->cr4 = 0x20;       /* PAE */
    cpu->cr0 = 0x80000011; /* PG, ET, PE */
    cpu->efer = 0x500;     /* LMA, LME */
    cpu->rip = MINI_CODE;
}

static void mini_real_mode(struct mv_x86_cpu *cpu)
{
    cpu->cs.selector = MINI_CODE >> 4;
    cpu->cs.base = MINI_CODE;
    cpu->rip = 0;
}

/* The first vCPU, as a loader would leave it. */
static void mini_vcpu(struct mini *mini, const struct mini_guest *guest)
{
    microvm_error err;
    struct mv_x86_cpu cpu = {.rip = 0};
    const unsigned mask = MV_CPU_GENERAL | MV_CPU_SYSTEM;
    assert_ok(mini->hv->vcpu_open(mini->vm, 0, &mini->vcpu, &err), &err);
    assert_ok(mini->hv->vcpu_get(mini->vcpu, mask, &cpu, &err), &err);
    if (guest->real_mode && mini->hv != &mv_fake_ops)
        mini_real_mode(&cpu);
    else
        mini_long_mode(&cpu);
    cpu.gpr[MV_RSP] = STACK;
    assert_ok(mini->hv->vcpu_set(mini->vcpu, mask, &cpu, &err), &err);
}

void mini_open(struct mini *mini, struct mini_subject subject, unsigned cpus,
               const struct mini_guest *guest)
{
    struct mv_hv_config config = {cpus, subject.rung, &mini_up, mini};
    microvm_error err;
    void *memory;
    memset(mini, 0, sizeof *mini);
    mini->hv = subject.hv;
    atomic_store(&mini->eoi, -1);
    assert_ok(mini->hv->vm_open(&config, &mini->vm, &err), &err);
    assert_ok(mv_mem_map(MINI_MEMORY_BYTES, 0, &memory, &err), &err);
    mini->memory = memory;
    mini_tables(memory);
    if (mini->hv == &mv_fake_ops)
        memcpy(mini->memory + MINI_CODE, guest->steps,
               guest->step_count * sizeof guest->steps[0]);
    else
        memcpy(mini->memory + MINI_CODE, guest->code,
               (size_t)(guest->code_end - guest->code));
    assert_ok(mini->hv->mem_map(mini->vm, 0, memory, MINI_MEMORY_BYTES, &err), &err);
    assert_ok(mini->hv->vm_setup(mini->vm, &err), &err);
    mini_vcpu(mini, guest);
}

void mini_close(struct mini *mini)
{
    microvm_error err;
    mini->hv->vcpu_close(mini->vcpu);
    assert_ok(mini->hv->mem_unmap(mini->vm, 0, MINI_MEMORY_BYTES, &err), &err);
    mini->hv->vm_close(mini->vm);
    mv_mem_unmap(mini->memory, MINI_MEMORY_BYTES);
}

enum mv_hv_exit mini_run(struct mini *mini, microvm_error *err)
{
    *err = (microvm_error){.code = 0};
    return mini->hv->vcpu_run(mini->vcpu, err);
}

void mini_run_until(struct mini *mini, char letter)
{
    microvm_error err;
    enum mv_hv_exit exit = mini_run(mini, &err);
    if (exit != MV_HV_KICKED || atomic_load(&mini->last) != letter)
        print_error("exit %d, \"%s\", said '%c'\n", exit, err.message,
                    atomic_load(&mini->last));
    assert_int_equal(exit, MV_HV_KICKED);
    assert_int_equal(atomic_load(&mini->last), letter);
}

bool mini_wait(atomic_uint *count, unsigned wanted)
{
    const uint64_t end_ns = uv_hrtime() + 10000000000ull;
    while (atomic_load(count) < wanted) {
        if (uv_hrtime() > end_ns)
            return false;
        (void)uv_sleep(0);
    }
    return true;
}

void mini_expect(const struct mini *mini, const struct mini_access *wanted,
                 unsigned count)
{
    for (unsigned i = 0; i < MV_MIN(count, mini->accesses); i++) {
        const struct mini_access *w = &wanted[i], *a = &mini->access[i];
        if (w->write != a->write || w->address != a->address || w->size != a->size ||
            w->value != a->value || w->port != a->port)
            fail_msg("access %u: size %u of 0x%llx at 0x%llx, write %d", i, a->size,
                     (unsigned long long)a->value, (unsigned long long)a->address,
                     a->write);
    }
    assert_int_equal(mini->accesses, count);
}
