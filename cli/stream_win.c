/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * There is nothing to stream from in the build for Windows yet (named_win.c).
 */
#include "stream.h"

#include "cli.h"

bool stream_run(const struct stream *stream)
{
    (void)stream;
    say("streams are not in this build for Windows");
    return false;
}
