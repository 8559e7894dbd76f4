/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guests, in both their forms.
 */
#include "guests.h"

#include "util/bytes.h"

#if MV_HAVE_KVM
#define CODE(name)    extern const uint8_t guest_##name[], guest_##name##_end[]
#define CODE_OF(name) .code = guest_##name, .code_end = guest_##name##_end
CODE(spin);
CODE(halt);
CODE(ports);
CODE(mmio);
CODE(bell);
CODE(gather);
CODE(irq);
CODE(shutdown);
CODE(nowhere);
CODE(ring);
CODE(hi);
CODE(long);
CODE(cpuid);
CODE(smp);
#else
#define CODE_OF(name) .code = NULL
#endif

#define SAY(letter)                                 \
    {                                               \
        MV_FAKE_PIO_WRITE, 1, MINI_PORT_SAY, letter \
    }
#define STEPS_OF(array) .steps = (array), .step_count = MV_ARRAY_LEN(array)

static const struct mv_fake_step spin_steps[] = {SAY('s'), {MV_FAKE_SPIN, 0, 0, 0}};

static const struct mv_fake_step halt_steps[] = {SAY('h'), {MV_FAKE_SPIN, 0, 0, 0}};

static const struct mv_fake_step ports_steps[] = {
    {MV_FAKE_PIO_WRITE, 1, MINI_PORT, 0xa1b2c3d4},
    {MV_FAKE_PIO_WRITE, 2, MINI_PORT, 0xa1b2c3d4},
    {MV_FAKE_PIO_WRITE, 4, MINI_PORT, 0xa1b2c3d4},
    {MV_FAKE_PIO_READ, 1, MINI_PORT, 0},
    {MV_FAKE_CHECK, 0, 0, 0x88},
    {MV_FAKE_PIO_READ, 2, MINI_PORT, 0},
    {MV_FAKE_CHECK, 0, 0, 0x7788},
    {MV_FAKE_PIO_READ, 4, MINI_PORT, 0},
    {MV_FAKE_CHECK, 0, 0, 0x55667788},
    {MV_FAKE_PIO_WRITE, 1, MINI_PORT, 'a'},
    {MV_FAKE_PIO_WRITE, 1, MINI_PORT, 'b'},
    {MV_FAKE_PIO_WRITE, 1, MINI_PORT, 'c'},
    {MV_FAKE_PIO_READ, 2, MINI_PORT, 0},
    {MV_FAKE_STORE, 2, 0x20000, 0x7788},
    {MV_FAKE_PIO_READ, 2, MINI_PORT, 0},
    {MV_FAKE_STORE, 2, 0x20002, 0x7788},
    {MV_FAKE_LOAD, 4, 0x20000, 0},
    {MV_FAKE_CHECK, 0, 0, 0x77887788},
    SAY('Y'),
};

static const struct mv_fake_step mmio_steps[] = {
    {MV_FAKE_MMIO_WRITE, 1, MINI_DEVICE, 0xa1b2c3d4e5f60718},
    {MV_FAKE_MMIO_WRITE, 2, MINI_DEVICE + 2, 0xa1b2c3d4e5f60718},
    {MV_FAKE_MMIO_WRITE, 4, MINI_DEVICE + 4, 0xa1b2c3d4e5f60718},
    {MV_FAKE_MMIO_WRITE, 8, MINI_DEVICE + 8, 0xa1b2c3d4e5f60718},
    {MV_FAKE_MMIO_READ, 1, MINI_DEVICE, 0},
    {MV_FAKE_CHECK, 0, 0, 0x88},
    {MV_FAKE_MMIO_READ, 2, MINI_DEVICE + 2, 0},
    {MV_FAKE_CHECK, 0, 0, 0x7788},
    {MV_FAKE_MMIO_READ, 4, MINI_DEVICE + 4, 0},
    {MV_FAKE_CHECK, 0, 0, 0x55667788},
    {MV_FAKE_MMIO_READ, 8, MINI_DEVICE + 8, 0},
    {MV_FAKE_CHECK, 0, 0, MINI_ANSWER},
    {MV_FAKE_MMIO_READ, 1, MINI_DEVICE + 16, 0},
    {MV_FAKE_CHECK, 0, 0, 0x88},
    {MV_FAKE_MMIO_WRITE, 2, MINI_DEVICE + 0xffd, 0x0718},
    {MV_FAKE_MMIO_WRITE, 1, MINI_DEVICE + 0xfff, 0xf6},
    {MV_FAKE_MMIO_WRITE, 4, MINI_DEVICE + 0x1000, 0xb2c3d4e5},
    {MV_FAKE_MMIO_WRITE, 1, MINI_DEVICE + 0x1004, 0xa1},
    SAY('Y'),
};

static const struct mv_fake_step bell_steps[] = {
    {MV_FAKE_MMIO_WRITE, 4, MINI_DEVICE + 0x50, 3},
    {MV_FAKE_MMIO_WRITE, 4, MINI_DEVICE + 0x50, 4},
    {MV_FAKE_MMIO_WRITE, 2, MINI_DEVICE + 0x50, 3},
    {MV_FAKE_MMIO_WRITE, 8, MINI_DEVICE + 0x50, 5},
    {MV_FAKE_MMIO_WRITE, 1, MINI_DEVICE + 0x50, 6},
    {MV_FAKE_MMIO_WRITE, 2, MINI_DEVICE + 0x51, 7},
    SAY('Y'),
};

#define WRITE(letter)                           \
    {                                           \
        MV_FAKE_PIO_WRITE, 1, MINI_PORT, letter \
    }
#define WRITE10                                                             \
    WRITE('x'), WRITE('x'), WRITE('x'), WRITE('x'), WRITE('x'), WRITE('x'), \
        WRITE('x'), WRITE('x'), WRITE('x'), WRITE('x')
#define WRITE50 WRITE10, WRITE10, WRITE10, WRITE10, WRITE10

static const struct mv_fake_step gather_steps[] = {
    WRITE50,
    WRITE50,
    WRITE50,
    WRITE50,
    {MV_FAKE_PIO_WRITE, 2, MINI_PORT, 0x7979},
    WRITE('z'),
    WRITE('z'),
    WRITE('z'),
    WRITE('z'),
    WRITE('z'),
    SAY('s'),
    WRITE('w'),
    WRITE('w'),
    WRITE('w'),
    WRITE('w'),
    WRITE('w'),
    WRITE('w'),
    WRITE('w'),
    {MV_FAKE_STORE, 1, 0x30000, 1},
    {MV_FAKE_SPIN, 0, 0, 0},
};

static const struct mv_fake_step irq_steps[] = {
    SAY('r'),
    {MV_FAKE_WAIT_MSI, 0, 0, MINI_VECTOR},
    {MV_FAKE_EOI, 0, 0, MINI_VECTOR},
    SAY('t'),
    {MV_FAKE_JUMP, 0, MINI_CODE + sizeof(struct mv_fake_step), 0},
};

static const struct mv_fake_step shutdown_steps[] = {{MV_FAKE_SHUTDOWN, 0, 0, 0}};

static const struct mv_fake_step nowhere_steps[] = {
    {MV_FAKE_JUMP, 0, MINI_DEVICE + 0x123, 0}};

const struct mini_guest guest_of_spin = {CODE_OF(spin), STEPS_OF(spin_steps)};
const struct mini_guest guest_of_halt = {CODE_OF(halt), STEPS_OF(halt_steps)};
const struct mini_guest guest_of_ports = {CODE_OF(ports), STEPS_OF(ports_steps)};
const struct mini_guest guest_of_mmio = {CODE_OF(mmio), STEPS_OF(mmio_steps)};
const struct mini_guest guest_of_gather = {CODE_OF(gather), STEPS_OF(gather_steps)};
const struct mini_guest guest_of_bell = {CODE_OF(bell), STEPS_OF(bell_steps)};
const struct mini_guest guest_of_irq = {CODE_OF(irq), STEPS_OF(irq_steps)};
const struct mini_guest guest_of_shutdown = {CODE_OF(shutdown),
                                             STEPS_OF(shutdown_steps)};
const struct mini_guest guest_of_nowhere = {CODE_OF(nowhere), STEPS_OF(nowhere_steps)};
const struct mini_guest guest_of_hi = {CODE_OF(hi), .real_mode = true};
const struct mini_guest guest_of_long = {CODE_OF(long)};
const struct mini_guest guest_of_cpuid = {CODE_OF(cpuid)};
const struct mini_guest guest_of_smp = {CODE_OF(smp)};
const struct mini_guest guest_of_ring = {CODE_OF(ring)};
