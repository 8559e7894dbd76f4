/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guest RAM on Windows: reserved and committed at once (the commit charge is the
 * machine's memory), physical pages come on first touch.
 */
#include "os/mem.h"

#include "os/error.h"

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

int mv_mem_discard(void *base, size_t size_bytes)
{
    return DiscardVirtualMemory(base, size_bytes) == ERROR_SUCCESS ? 0 : MICROVM_E_IO;
}

size_t mv_mem_page_size(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}
