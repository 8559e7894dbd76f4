/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guest RAM on Windows: reserved and committed at once (the commit charge is the
 * machine's memory), physical pages come on first touch.
 */
#include "os/mem.h"

#include "os/error.h"

#include <string.h>
#include <windows.h>

int mv_mem_map(size_t size_bytes, unsigned flags, void **out, microvm_error *err)
{
    if (flags & MV_MEM_SHARED)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "memory: sharing it is not supported on Windows yet");
    void *base =
        VirtualAlloc(NULL, size_bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!base)
        return mv_fail_os_code(err, MICROVM_E_NO_MEMORY, (int)GetLastError(),
                               "memory: mapping %zu MiB", size_bytes >> 20);
    *out = base;
    return 0;
}

void mv_mem_unmap(void *base, size_t size_bytes)
{
    (void)size_bytes;
    if (base)
        (void)VirtualFree(base, 0, MEM_RELEASE);
}

/* Windows 8.1 has a function for it, wine has not. Before, the contents are given up
 * first, so that nothing is written to the page file, then the pages: VirtualUnlock of
 * what is not locked takes them from the working set, and says that it failed. */
int mv_mem_discard(void *base, size_t size_bytes)
{
    __typeof__(&DiscardVirtualMemory) discard = NULL;
    FARPROC found =
        GetProcAddress(GetModuleHandleA("kernel32.dll"), "DiscardVirtualMemory");
    memcpy(&discard, &found, sizeof discard);
    if (discard)
        return discard(base, size_bytes) == ERROR_SUCCESS ? 0 : MICROVM_E_IO;
    if (!VirtualAlloc(base, size_bytes, MEM_RESET, PAGE_READWRITE))
        return MICROVM_E_IO;
    (void)VirtualUnlock(base, size_bytes);
    return 0;
}

size_t mv_mem_page_size(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}
