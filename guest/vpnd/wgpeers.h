/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whether peers are heard, out of what `wg show NAME dump` says (wg(8)). Pure. */
#ifndef VPND_WGPEERS_H
#define VPND_WGPEERS_H

#include <stdbool.h>
#include <stdint.h>

/* Of a new tunnel. */
void wgpeers_begin(void);
/* Some peer is heard; `text` is taken apart. */
bool wgpeers_look(char *text, int64_t now_ms);

#endif
