/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Wide accesses to parts with 8-bit registers. The ISA bus cuts them into byte accesses
 * at consecutive ports, lowest first; every chip whose registers are bytes answers the
 * other widths through here.
 */
#ifndef MV_CHIP_NARROW_H
#define MV_CHIP_NARROW_H

#include <stdint.h>

static inline uint64_t mv_narrow_read(void *chip, uint64_t offset, unsigned size,
                                      uint8_t (*read)(void *chip, uint64_t offset))
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read(chip, offset + i) << (8 * i);
    return value;
}

static inline void mv_narrow_write(void *chip, uint64_t offset, unsigned size,
                                   uint64_t value,
                                   void (*write)(void *chip, uint64_t offset,
                                                 uint8_t value))
{
    for (unsigned i = 0; i < size; i++)
        write(chip, offset + i, (uint8_t)(value >> (8 * i)));
}

#endif
