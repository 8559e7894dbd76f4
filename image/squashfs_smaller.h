/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A compressor of libsquashfs that never makes anything larger.
 */
#ifndef MV_IMAGE_SQUASHFS_SMALLER_H
#define MV_IMAGE_SQUASHFS_SMALLER_H

#include <sqfs/compressor.h>

/* Takes `inner` over, also where there is no memory (NULL). */
sqfs_compressor_t *mv_squashfs_smaller(sqfs_compressor_t *inner);

#endif
