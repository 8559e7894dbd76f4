/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * There are no named machines in the build for Windows yet (named_win.c).
 */
#include "exec.h"

#include "cli.h"

int exec_run(const struct exec *exec, int connection)
{
    (void)exec, (void)connection;
    say("exec is not in this build for Windows");
    return STATUS_OURS;
}
