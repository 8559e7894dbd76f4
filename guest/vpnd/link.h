/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whether an interface is there and up, and news of it (rtnetlink(7)). */
#ifndef VPND_LINK_H
#define VPND_LINK_H

#include <stdbool.h>

bool link_watch(const char *name, void (*changed)(bool up));
bool link_is_up(void);

#endif
