/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Nothing that would have to tidy up is in the build for Windows yet.
 */
#include "cancel.h"

#include <windows.h>

bool cancel_catch(void)
{
    return true;
}

int cancel_asked(void)
{
    return 0;
}

void cancel_cut(int fd)
{
    (void)fd;
}

void cancel_release(void)
{
}

void cancel_pause(unsigned ms)
{
    Sleep(ms);
}

enum cancel_why cancel_input(int other)
{
    (void)other;
    return CANCEL_INPUT;
}
