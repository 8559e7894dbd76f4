/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Modules that the image brings for its kernel: modules.c. */
#ifndef GUEST_INIT_MODULES_H
#define GUEST_INIT_MODULES_H

/* Before devices are looked for. What cannot be loaded is said, and the rest goes on.
 */
void modules_load(void);

#endif
