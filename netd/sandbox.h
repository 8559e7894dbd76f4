/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The helper gives up what it does not need, before it has seen a byte of the guest's.
 */
#ifndef NETD_SANDBOX_H
#define NETD_SANDBOX_H

/* No new privileges, no capabilities but binding low ports, no files but the resolver's
 * configuration (Landlock, where the kernel has it), no system calls but those of a
 * network program (seccomp). NULL, or what could not be done; `landlock` says whether
 * the files are closed. */
const char *sandbox_enter(int *landlock);

#endif
