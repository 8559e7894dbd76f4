/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The smallest machine: a hypervisor, 4 MiB of memory, one guest, and a record of
 * everything that the guest did. For testing what stands below hv.h without anything
 * that stands above it.
 */
#ifndef TESTS_LIB_MINI_H
#define TESTS_LIB_MINI_H

#include "check.h"

#include "hv/fake/fake.h"
#include "hv/hv.h"

#include <stdatomic.h>

enum {
    MINI_MEMORY_BYTES = 4 << 20,
    MINI_CODE = 0x10000,       /* where guests are loaded */
    MINI_DEVICE = 0xd0000000u, /* device memory that guests touch */
    MINI_PORT = 0x600,
    MINI_PORT_SAY = 0xe9,
    MINI_VECTOR = 0x45,
    MINI_VECTOR_OTHER = 0x46,
    MINI_PIN = 5,
    MINI_ACCESSES_MAX = 256
};

#define MINI_ANSWER 0x1122334455667788ull /* what every read gives */

/* A guest in both its forms: machine code, and steps for the fake hypervisor. */
struct mini_guest {
    const uint8_t *code, *code_end;
    const struct mv_fake_step *steps;
    unsigned step_count;
    bool real_mode;
};

struct mini_access {
    bool port, write;
    uint64_t address, value;
    unsigned size;
};

struct mini {
    const struct mv_hv_ops *hv;
    struct mv_hv_vm *vm;
    struct mv_hv_vcpu *vcpu; /* the first, opened on the thread that called mini_open */
    uint8_t *memory;
    struct mini_access access[MINI_ACCESSES_MAX];
    atomic_uint accesses;
    atomic_uint written; /* to device memory, also past those that are recorded */
    atomic_uint said;    /* bytes said so far */
    atomic_uint ticks;   /* 't' and 'u' among them */
    atomic_int last;     /* the last of them */
    atomic_int eoi;      /* the last vector whose EOI came up, -1 */
    void (*in_service)(struct mini *mini); /* when it says 'm'; NULL: nothing */
};

/* Which hypervisor a test program was asked for by its first argument ("kvm3", "kvm2",
 * "fake"). Ends the program with 77 and the reason where it cannot be had. */
struct mini_subject {
    const struct mv_hv_ops *hv;
    enum mv_hv_rung rung;
};
struct mini_subject mini_subject(int argc, char **argv);

/* Makes the machine with the guest loaded and its first vCPU ready to run it. */
void mini_open(struct mini *mini, struct mini_subject subject, unsigned cpus,
               const struct mini_guest *guest);
void mini_close(struct mini *mini);

/* vcpu_run. */
enum mv_hv_exit mini_run(struct mini *mini, microvm_error *err);

/* Runs until the guest has said `letter`, which must be the last one it says. */
void mini_run_until(struct mini *mini, char letter);

/* Fails unless exactly these accesses have come up, in this order. */
void mini_expect(const struct mini *mini, const struct mini_access *wanted,
                 unsigned count);

/* Waits, on another thread, until the count has reached `wanted`; false after 10 s. */
bool mini_wait(atomic_uint *count, unsigned wanted);

#endif
