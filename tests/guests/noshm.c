/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * System V shared memory for fio on kernels without it, preloaded: with thread=1 all of
 * its jobs live in one process, so memory that is shared by threads is enough. One
 * segment, which is all that fio asks for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/shm.h>

static void *segment = MAP_FAILED;

int shmget(key_t key, size_t size, int flags)
{
    (void)key;
    (void)flags;
    if (segment == MAP_FAILED)
        segment = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
    return segment == MAP_FAILED ? -1 : 1;
}

void *shmat(int id, const void *at, int flags)
{
    (void)id;
    (void)at;
    (void)flags;
    return segment;
}

int shmdt(const void *at)
{
    (void)at;
    return 0;
}

int shmctl(int id, int command, struct shmid_ds *buffer)
{
    (void)id;
    (void)buffer;
    if (command == IPC_RMID)
        return 0;
    errno = EINVAL;
    return -1;
}
