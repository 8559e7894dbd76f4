/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An interrupt line as an object: a chip raises it and never knows what stands at the
 * other end (the hypervisor's interrupt controllers, our I/O APIC, or a test).
 * Delivery is a leaf: it takes no lock of ours, never waits, and may be called from
 * any thread.
 */
#ifndef MV_CORE_IRQ_H
#define MV_CORE_IRQ_H

#include <stdbool.h>

struct mv_irq {
    void (*set)(void *controller, unsigned line, bool level); /* level-triggered use */
    void (*pulse)(void *controller, unsigned line);           /* one edge */
    void *controller;
    unsigned line; /* GSI */
};

static inline void mv_irq_set(const struct mv_irq *irq, bool level)
{
    irq->set(irq->controller, irq->line, level);
}

static inline void mv_irq_pulse(const struct mv_irq *irq)
{
    irq->pulse(irq->controller, irq->line);
}

#endif
