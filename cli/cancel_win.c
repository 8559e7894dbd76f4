/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Nothing that would have to tidy up is in the build for Windows yet.
 */
#include "cancel.h"

bool cancel_catch(void)
{
    return true;
}

int cancel_asked(void)
{
    return 0;
}
