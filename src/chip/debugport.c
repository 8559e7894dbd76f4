/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The debug port's one register.
 */
#include "chip/debugport.h"

#include "os/thread.h"

#include <stdatomic.h>

/* What Bochs answers, so that a guest can tell that somebody listens. */
enum { DEBUGPORT_PRESENT = 0xe9 };

uint64_t mv_debugport_mark_ns(const struct mv_debugport *port, unsigned mark)
{
    return mark < MV_DEBUGPORT_MARKS ? atomic_load(&port->mark_ns[mark]) : 0;
}

/* The range is one port, so all accesses are bytes. */
static uint64_t debugport_read(void *chip, uint64_t offset, unsigned size)
{
    (void)chip;
    (void)offset;
    (void)size;
    return DEBUGPORT_PRESENT;
}

static void debugport_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    struct mv_debugport *port = chip;
    uint64_t unreached = 0;
    (void)offset;
    (void)size;
    if (value < MV_DEBUGPORT_MARKS)
        atomic_compare_exchange_strong(&port->mark_ns[value], &unreached, uv_hrtime());
    if (port->written)
        port->written(port->ctx, (uint8_t)value);
}

const struct mv_bus_ops mv_debugport_bus = {debugport_read, debugport_write};
