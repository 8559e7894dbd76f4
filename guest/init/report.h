/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the guest tells its host unasked (proto/agent.md, "The report"): that it is
 * ready, and how its main command ended.
 */
#ifndef GUEST_REPORT_H
#define GUEST_REPORT_H

/* The agent listens: the host is told as soon as it takes the connection. A host that
 * does not want to know refuses it, and a guest without a socket device has none. */
void report_open(void);
/* The main command has ended: returns when the host has it, within two seconds. */
void report_end(int code, int number);

#endif
