/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest of one program: it is the first process and the only file, so there is no
 * shell, no library and no root file system to go wrong, and nothing to wait for.
 *
 *     musl-gcc -static -Os -s -o init single.c
 *     microvm-build --base scratch --add-file init:/init:0755 \
 *         --format initramfs --compress none --output single.cpio
 *     microvm-build kernel --variant fast
 *     microvm run -k ~/.cache/microvm/kernels/fast-x86_64/vmlinux \
 *         --initrd single.cpio --cmdline quiet
 *
 * `make demo-single` does this. A program of yours has its work in the place of what it
 * says here; it ends as a first process must, by ending the machine.
 */
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    struct utsname name;
    struct timespec since_boot;
    if (getpid() != 1) {
        (void)fprintf(stderr, "single: to be run as the first process of a guest\n");
        return 2;
    }
    if (uname(&name) || clock_gettime(CLOCK_BOOTTIME, &since_boot))
        return 1; /* the kernel panics, and the host is told */
    (void)printf("single: on Linux %s, %ld ms after its first instruction\n",
                 name.release,
                 (long)(since_boot.tv_sec * 1000 + since_boot.tv_nsec / 1000000));
    (void)fflush(stdout);
    /* A kernel without ACPI cannot switch anything off; a reset ends a machine, too. */
    (void)reboot(RB_AUTOBOOT);
    return 1;
}
