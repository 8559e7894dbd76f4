/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Half a byte at a time: states are some kilobytes, and a table of 16 entries can be
 * checked by eye. Guest memory is not summed here.
 */
#include "util/crc32.h"

/* Entry n: n shifted out bit by bit, the polynomial subtracted for each one. */
static const uint32_t crc32_table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
    0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
    0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};

uint32_t mv_crc32(uint32_t crc, const void *data, size_t length)
{
    const uint8_t *at = data;
    crc = ~crc;
    while (length-- > 0) {
        crc ^= *at++;
        crc = crc >> 4 ^ crc32_table[crc & 15];
        crc = crc >> 4 ^ crc32_table[crc & 15];
    }
    return ~crc;
}
