/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Commands about disks, file systems and programs on them. */
#define _GNU_SOURCE
#include "diskmix.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* Cuts the next ","-separated word off; NULL when none is left. */
static char *next_word(char **rest)
{
    return strsep(rest, ",");
}

/* DEVICE,SEED,MIB[,direct]: the mixed I/O of diskmix.h. */
void guest_disk(const char *arg)
{
    char text[128], *rest = text, *device, *seed, *mib, *how;
    struct diskmix_result r;
    struct diskmix mix;
    snprintf(text, sizeof text, "%s", arg);
    device = next_word(&rest);
    seed = next_word(&rest);
    mib = next_word(&rest);
    how = next_word(&rest);
    if (!mib) {
        printf("MV disk error: DEVICE,SEED,MIB[,direct]\n");
        return;
    }
    guest_wait_for(device);
    int fd = open(device, O_RDWR | O_CLOEXEC | (how ? O_DIRECT : 0));
    if (fd < 0) {
        guest_trouble("disk", device);
        return;
    }
    mix.seed = strtoull(seed, NULL, 10);
    mix.total_bytes = strtoull(mib, NULL, 10) << 20;
    mix.size_bytes = (uint64_t)lseek(fd, 0, SEEK_END);
    if (diskmix_run(fd, &mix, &r))
        guest_trouble("disk", device);
    else
        printf("MV disk read %llu written %llu wrong %llu\n",
               (unsigned long long)r.read_bytes, (unsigned long long)r.written_bytes,
               (unsigned long long)r.wrong_sectors);
    close(fd);
}

/* DEVICE: what the kernel says of it, and what a write is answered with. */
void guest_readonly(const char *arg)
{
    char sector[512] = "written by a guest that must not";
    int flag = -1, wrote = -1;
    guest_wait_for(arg);
    int fd = open(arg, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        guest_trouble("readonly", arg);
        return;
    }
    ioctl(fd, BLKROGET, &flag);
    close(fd);
    fd = open(arg, O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd >= 0) {
        wrote = write(fd, sector, sizeof sector) == (ssize_t)sizeof sector &&
                fsync(fd) == 0;
        close(fd);
    } else {
        wrote = 0;
    }
    printf("MV readonly flag %d wrote %d\n", flag, wrote);
}

/* TYPE:DEVICE[:rw] becomes the root file system, as switch_root does it. */
void guest_mount(const char *arg)
{
    static const char *const moved[] = {"dev", "proc", "sys"};
    char text[128], target[16], from[16], *rest = text;
    snprintf(text, sizeof text, "%s", arg);
    char *type = strsep(&rest, ":"), *device = strsep(&rest, ":");
    if (!device || guest_wait_for(device) ||
        mount(device, "/mnt", type, rest ? 0 : MS_RDONLY, "")) {
        guest_trouble("mount", arg);
        return;
    }
    for (size_t i = 0; i < sizeof moved / sizeof moved[0]; i++) {
        snprintf(from, sizeof from, "/%s", moved[i]);
        snprintf(target, sizeof target, "/mnt/%s", moved[i]);
        mount(from, target, NULL, MS_MOVE, NULL);
    }
    if (chdir("/mnt") || mount("/mnt", "/", NULL, MS_MOVE, NULL) || chroot("."))
        guest_trouble("mount", "switching the root");
    else
        printf("MV mount %s\n", arg);
}

/*
 * Runs a program on the console and waits for it. The console does not become its
 * controlling terminal: the end of a session hangs that up, and the kernel then drops
 * output that the serial port has not sent yet.
 */
static void run_program(const char *name, char *const *argv)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setenv("PATH", "/sbin:/bin:/usr/sbin:/usr/bin", 1);
        execv(argv[0], argv);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        guest_trouble(name, argv[0]);
    else if (WIFEXITED(status))
        printf("MV %s exit %d\n", name, WEXITSTATUS(status));
    else
        printf("MV %s signal %d\n", name, WTERMSIG(status));
}

/* ARG: a shell script of the initramfs. */
void guest_script(const char *arg)
{
    char path[128];
    snprintf(path, sizeof path, "%s", arg);
    run_program("script", (char *[]){"/bin/sh", path, NULL});
}

/* A shell that reads from the console until "exit". */
void guest_shell(const char *arg)
{
    (void)arg;
    run_program("shell", (char *[]){"/bin/sh", NULL});
}
