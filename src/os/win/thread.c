/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Threads on Windows. Names need SetThreadDescription (Windows 10 1607 and later),
 * which is looked up at run time.
 */
#include "os/thread.h"

#include <windows.h>

enum { STACK_BYTES = 256 << 10, NAME_MAX_CHARS = 32 };

int mv_thread_start(uv_thread_t *thread, uv_thread_cb fn, void *arg)
{
    uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE,
                                   .stack_size = STACK_BYTES};
    return uv_thread_create_ex(thread, &options, fn, arg);
}

void mv_thread_leave(uv_thread_t *thread)
{
    (void)CloseHandle(*thread);
}

typedef HRESULT(WINAPI *describe_fn)(HANDLE, PCWSTR);

void mv_thread_name(const char *name)
{
    HMODULE kernel = GetModuleHandleW(L"kernel32.dll");
    describe_fn describe =
        kernel ? (describe_fn)(void *)GetProcAddress(kernel, "SetThreadDescription")
               : NULL;
    WCHAR wide[NAME_MAX_CHARS];
    if (describe && MultiByteToWideChar(CP_UTF8, 0, name, -1, wide, NAME_MAX_CHARS) > 0)
        (void)describe(GetCurrentThread(), wide);
}
