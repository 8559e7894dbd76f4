/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's side of the disk test: runs the mix that a guest has run, on a scratch
 * file of the same size. Usage: diskmix-host FILE SEED TOTAL_MIB   (FILE exists,
 * zeroed)
 */
#include "diskmix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct diskmix_result r;
    struct diskmix mix;
    if (argc != 4)
        return 2;
    int fd = open(argv[1], O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        perror(argv[1]);
        return 1;
    }
    mix.seed = strtoull(argv[2], NULL, 10);
    mix.total_bytes = strtoull(argv[3], NULL, 10) << 20;
    mix.size_bytes = (uint64_t)lseek(fd, 0, SEEK_END);
    if (diskmix_run(fd, &mix, &r)) {
        perror(argv[1]);
        return 1;
    }
    printf("read %llu written %llu wrong %llu\n", (unsigned long long)r.read_bytes,
           (unsigned long long)r.written_bytes, (unsigned long long)r.wrong_sectors);
    return r.wrong_sectors != 0;
}
