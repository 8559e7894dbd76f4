/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Asserts state invariants of our own state, never guest or file data, and stay on in
 * release builds: going on with broken state next to somebody else's data is worse than
 * stopping. The trap is the one way in which the library may end the process, and it
 * means a bug of ours.
 */
#ifndef MV_UTIL_ASSERT_H
#define MV_UTIL_ASSERT_H

#define MV_ASSERT(condition)                   \
    do {                                       \
        if (__builtin_expect(!(condition), 0)) \
            __builtin_trap();                  \
    } while (0)

#endif
