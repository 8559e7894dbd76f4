/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The root file system of an image: root.c. */
#ifndef GUEST_INIT_ROOT_H
#define GUEST_INIT_ROOT_H

#include <stdbool.h>

/* Before anything else is mounted. False: there should be another root, and it cannot
 * be had; why was said. */
bool root_open(void);

#endif
