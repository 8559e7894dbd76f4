/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * CRC-32 of IEEE 802.3, as in zlib and Ethernet: reflected polynomial 0xedb88320, all
 * ones before and after. Finds damage, not malice.
 */
#ifndef MV_UTIL_CRC32_H
#define MV_UTIL_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what gave `crc` (0: nothing) followed by `data`. */
uint32_t mv_crc32(uint32_t crc, const void *data, size_t length);

#endif
