/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The orderly end: SIGTERM to all, five seconds, SIGKILL, file systems written and
 * unmounted, the power off. The button is an input device's key (evdev), as on every
 * PC.
 */
#define _GNU_SOURCE
#include "power.h"

#include "guest/lib/loop.h"

#include <fcntl.h>
#include <linux/input.h>
#include <mntent.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* LAST_WORD: for the answer to who asked for it, which the kernel sends in its own
 * time. */
enum { GRACE_MS = 5000, LAST_WORD_MS = 20, DRAIN_MS = 1000, BUTTONS = 8, MOUNTS = 64 };

static struct {
    bool begun, reboot;
    int64_t kill_ms;
    struct watch button[BUTTONS];
} power;

bool power_begin(bool reboot)
{
    if (getpid() != 1)
        return false;
    if (power.begun)
        return true;
    power.begun = true;
    power.reboot = reboot;
    siginfo_t info;
    bool alone = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0; /* ECHILD */
    power.kill_ms = loop_now_ms() + (alone ? LAST_WORD_MS : GRACE_MS);
    (void)kill(-1, SIGTERM);
    return true;
}

bool power_has_begun(void)
{
    return power.begun;
}

void power_reaped(bool any_left)
{
    int64_t soon = loop_now_ms() + LAST_WORD_MS;
    if (power.begun && !any_left && soon < power.kill_ms)
        power.kill_ms = soon;
}

/* The last mounted goes first. What is still busy stays, and its file system has been
 * written. */
static void unmount_all(void)
{
    static char where[MOUNTS][256];
    unsigned count = 0;
    FILE *mounts = setmntent("/proc/mounts", "r");
    const struct mntent *entry;
    while (mounts && count < MOUNTS && (entry = getmntent(mounts)))
        (void)snprintf(where[count++], sizeof where[0], "%s", entry->mnt_dir);
    if (mounts)
        (void)endmntent(mounts);
    while (count > 0) {
        if (strcmp(where[--count], "/") != 0)
            (void)umount2(where[count], 0);
    }
    (void)mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

/* What was written to the console and is not on the line yet is lost with the power. A
 * host that does not read it keeps nobody here. */
static void drain_console(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int left = 0;
    for (unsigned ms = 0; ms < DRAIN_MS && ioctl(2, TIOCOUTQ, &left) == 0 && left; ms++)
        (void)nanosleep(&pause, NULL);
}

static void power_end(void)
{
    /* Without ACPI Linux cannot tell anybody that it is off; a reset ends it, too.
     * Asked while /sys is mounted. */
    bool can = access("/sys/firmware/acpi", F_OK) == 0;
    (void)kill(-1, SIGKILL);
    sync();
    unmount_all();
    drain_console();
    (void)reboot(power.reboot || !can ? RB_AUTOBOOT : RB_POWER_OFF);
    for (;;)
        (void)pause();
}

int64_t power_step(void)
{
    if (!power.begun)
        return -1;
    int64_t left = power.kill_ms - loop_now_ms();
    if (left <= 0)
        power_end();
    return left;
}

/* ---- the button ------------------------------------------------------------------ */

static void button_heard(struct watch *watch, uint32_t events)
{
    struct input_event event[16];
    ssize_t n = read(watch->fd, event, sizeof event);
    if (n <= 0 || events & (EPOLLHUP | EPOLLERR)) {
        watch_close(watch);
        return;
    }
    for (size_t i = 0; i < (size_t)n / sizeof event[0]; i++) {
        if (event[i].type == EV_KEY && event[i].code == KEY_POWER &&
            event[i].value == 1)
            (void)power_begin(false);
    }
}

static bool is_button(int fd)
{
    unsigned long keys[KEY_MAX / (8 * sizeof(unsigned long)) + 1] = {0};
    unsigned at = KEY_POWER / (8 * sizeof keys[0]),
             bit = KEY_POWER % (8 * sizeof keys[0]);
    return ioctl(fd, (int)EVIOCGBIT(EV_KEY, sizeof keys), keys) >= 0 &&
           keys[at] >> bit & 1;
}

void power_hear_button(void)
{
    for (unsigned i = 0; i < BUTTONS; i++) {
        char path[32];
        power.button[i] = (struct watch)WATCH_NONE;
        (void)snprintf(path, sizeof path, "/dev/input/event%u", i);
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (!is_button(fd) || !watch_add(&power.button[i], fd, EPOLLIN, button_heard))
            (void)close(fd);
    }
}
