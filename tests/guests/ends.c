/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Commands that end the guest, or wait for its end. */
#define _GNU_SOURCE
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

enum { INPUTS_MAX = 16 };

static void end_with(int how)
{
    fflush(stdout);
    tcdrain(1); /* what the terminal still holds would be lost */
    sync();
    reboot(how);
    for (;;)
        pause();
}

void guest_poweroff(const char *arg)
{
    (void)arg;
    printf("MV poweroff\n");
    end_with(RB_POWER_OFF);
}

/* With reboot=t on the command line this is a triple fault. */
void guest_reboot(const char *arg)
{
    (void)arg;
    printf("MV reboot\n");
    end_with(RB_AUTOBOOT);
}

/* The kernel's own crash trigger; without it the end of process 1, which is one too. */
void guest_panic(const char *arg)
{
    (void)arg;
    printf("MV panic\n");
    fflush(stdout);
    int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "c", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static int open_inputs(struct pollfd *inputs)
{
    struct dirent *entry;
    char path[280];
    int count = 0;
    DIR *dir = opendir("/dev/input");
    while (dir && count < INPUTS_MAX && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "event", 5) != 0)
            continue;
        snprintf(path, sizeof path, "/dev/input/%s", entry->d_name);
        inputs[count].fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        inputs[count].events = POLLIN;
        if (inputs[count].fd >= 0)
            count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

static int power_key_in(int fd)
{
    struct input_event e;
    while (read(fd, &e, sizeof e) == (ssize_t)sizeof e) {
        if (e.type == EV_KEY && e.code == KEY_POWER && e.value == 1)
            return 1;
    }
    return 0;
}

/*
 * Waits for the power button as acpid does, by its input event: the whole way from the
 * event device through the kernel's button driver to a program. A kernel without the
 * driver has no such device, which is said.
 */
void guest_button(const char *arg)
{
    (void)arg;
    struct pollfd inputs[INPUTS_MAX];
    int count = 0, pressed = 0;
    for (int tries = 0; tries < 100 && count == 0; tries++) {
        count = open_inputs(inputs);
        if (count == 0)
            usleep(10 * 1000);
    }
    if (count == 0) {
        printf("MV button error: no input device\n");
        return;
    }
    printf("MV button ready\n");
    while (!pressed && poll(inputs, (nfds_t)count, -1) >= 0) {
        for (int i = 0; i < count; i++)
            pressed |= power_key_in(inputs[i].fd);
    }
    printf("MV button pressed\n");
    for (int i = 0; i < count; i++)
        close(inputs[i].fd);
}

/* ARG seconds; for ever without one. */
void guest_sleep(const char *arg)
{
    printf("MV sleep\n");
    if (*arg)
        sleep((unsigned)strtoul(arg, NULL, 10));
    else
        for (;;)
            pause();
}

/* Never enters the kernel of its own will: for kills and pauses of a busy vCPU. */
void guest_spin(const char *arg)
{
    (void)arg;
    printf("MV spin\n");
    for (volatile unsigned long n = 0;; n++)
        ;
}
