/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Binary search in a sorted array: with a dozen ranges it is a handful of compares.
 */
#include "core/bus.h"

#include "util/bytes.h"

/* The first range whose base is above `address`. */
static unsigned bus_above(const struct mv_bus *bus, uint64_t address)
{
    unsigned low = 0, high = bus->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (bus->range[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct mv_bus_range *bus_find(const struct mv_bus *bus, uint64_t address,
                                           unsigned size)
{
    unsigned above = bus_above(bus, address);
    if (above == 0)
        return NULL;
    const struct mv_bus_range *r = &bus->range[above - 1];
    return mv_inside(address, size, r->base, r->size) ? r : NULL;
}

int mv_bus_add(struct mv_bus *bus, uint64_t base, uint64_t size,
               const struct mv_bus_ops *ops, void *chip, microvm_error *err)
{
    uint64_t end;
    if (size == 0 || !mv_add(base, size, &end) || bus->count == MV_BUS_RANGES_MAX)
        return mv_fail(err, MICROVM_E_DEVICE, "bus: no room for a range at 0x%llx",
                       (unsigned long long)base);
    unsigned at = bus_above(bus, base);
    const struct mv_bus_range *below = at > 0 ? &bus->range[at - 1] : NULL;
    const struct mv_bus_range *above = at < bus->count ? &bus->range[at] : NULL;
    if ((below && base - below->base < below->size) || (above && end > above->base))
        return mv_fail(err, MICROVM_E_DEVICE, "bus: the range at 0x%llx is taken",
                       (unsigned long long)base);
    memmove(&bus->range[at + 1], &bus->range[at],
            (bus->count - at) * sizeof bus->range[0]);
    bus->range[at] = (struct mv_bus_range){base, size, ops, chip};
    bus->count++;
    return 0;
}

bool mv_bus_read(const struct mv_bus *bus, uint64_t address, unsigned size,
                 uint64_t *value)
{
    const struct mv_bus_range *r = bus_find(bus, address, size);
    *value = r ? r->ops->read(r->chip, address - r->base, size) : UINT64_MAX;
    *value &= mv_size_mask(size);
    return r != NULL;
}

bool mv_bus_write(const struct mv_bus *bus, uint64_t address, unsigned size,
                  uint64_t value)
{
    const struct mv_bus_range *r = bus_find(bus, address, size);
    if (r)
        r->ops->write(r->chip, address - r->base, size, value & mv_size_mask(size));
    return r != NULL;
}
