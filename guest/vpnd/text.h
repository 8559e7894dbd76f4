/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Text of others that goes on to a client: a server's words, a profile's, some of them
 * cut off in the middle. JSON takes only what is UTF-8. */
#ifndef VPND_TEXT_H
#define VPND_TEXT_H

/* A question mark for each byte that is no part of a character, or of one that
 * controls. */
void text_clean(char *text);

#endif
