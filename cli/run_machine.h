/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The process that has a machine: makes it, stays with it until it ends. For `microvm
 * run` and whatever else starts one.
 */
#ifndef CLI_RUN_MACHINE_H
#define CLI_RUN_MACHINE_H

#include "named.h"

#include <microvm/microvm.h>
#include <stdio.h>

struct run_machine {
    bool quiet, verbose;
    bool input, raw; /* standard input goes to its console; as a terminal's keys */
    bool detached;   /* in a process of its own (detach.h): its console is kept */
    FILE *stats;     /* counters go there at the end; NULL: nowhere */
    const char *stats_path; /* of that */
    struct claim claim;     /* CLAIM_NONE at first, and to be released by the caller */
    microvm_config *config; /* the caller's; set by run_machine */
};

/* The exit status, as `microvm run` has it. */
int run_machine(struct run_machine *run, microvm_config *config);

#endif
