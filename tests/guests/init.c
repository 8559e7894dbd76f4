/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * /init of the test guests: mounts what a program needs, loads the modules of the
 * initramfs, says GUEST-INIT-UP, and then runs the commands that stand behind "--" on
 * the kernel command line, in order. After the last one it powers off, or reboots where
 * no ACPI could carry that out.
 *
 * One static program for every kernel and every test, so that a test is a command line
 * and a few lines of output; there is no shell in it. Errors are told on the console
 * and never end it, because the end of process 1 is a panic.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    void (*run)(const char *arg);
} commands[] = {
    {"cpus", guest_cpus},
    {"mem", guest_mem},
    {"uname", guest_uname},
    {"hypervisor", guest_hypervisor},
    {"ask", guest_ask},
    {"touch", guest_touch},
    {"rng", guest_rng},
    {"poweroff", guest_poweroff},
    {"reboot", guest_reboot},
    {"panic", guest_panic},
    {"button", guest_button},
    {"sleep", guest_sleep},
    {"spin", guest_spin},
    {"source", guest_source},
    {"sink", guest_sink},
    {"disk", guest_disk},
    {"readonly", guest_readonly},
    {"mount", guest_mount},
    {"script", guest_script},
    {"shell", guest_shell},
    {"vsock-serve", guest_vsock_serve},
    {"vsock-dial", guest_vsock_dial},
    {"vsock-errors", guest_vsock_errors},
    {"vsock-half", guest_vsock_half},
    {"vsock-messages", guest_vsock_messages},
};

void guest_trouble(const char *name, const char *what)
{
    printf("MV %s error: %s: %s\n", name, what, strerror(errno));
}

int guest_wait_for(const char *path)
{
    for (int i = 0; i < 500; i++) {
        if (access(path, F_OK) == 0)
            return 0;
        usleep(10 * 1000);
    }
    return -1;
}

static void mount_basics(void)
{
    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/tmp", 01777);
    /* Already mounted (EBUSY) is as good. */
    mount("devtmpfs", "/dev", "devtmpfs", 0, "");
    mount("proc", "/proc", "proc", 0, "");
    mount("sysfs", "/sys", "sysfs", 0, "");
    if (access("/tmp", W_OK))
        mount("tmpfs", "/tmp", "tmpfs", 0, "");
}

static void load_module(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
        guest_trouble("module", name);
    if (fd >= 0)
        close(fd);
}

static void load_modules(void)
{
    struct dirent **names;
    int count = scandir("/modules", &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.')
            load_module(names[i]->d_name);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

/* A virtio console that the modules have just brought is not what we were started on.
 */
static void open_console(void)
{
    static char line[4096];
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    close(fd);
    line[n < 0 ? 0 : n] = '\0';
    if (strstr(line, "console=hvc0"))
        guest_wait_for("/dev/hvc0");
    for (int tries = 0; tries < 200; tries++) {
        fd = open("/dev/console", O_RDWR);
        if (fd >= 0)
            break;
        usleep(10 * 1000);
    }
    if (fd < 0)
        return;
    for (int i = 0; i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
}

static void run_command(char *word)
{
    char *arg = strchr(word, '=');
    if (arg)
        *arg++ = '\0';
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(word, commands[i].name) == 0) {
            commands[i].run(arg ? arg : "");
            return;
        }
    }
    printf("MV %s error: there is no such command\n", word);
}

int main(int argc, char **argv)
{
    mount_basics();
    load_modules();
    open_console();
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("GUEST-INIT-UP\n");
    for (int i = 1; i < argc; i++)
        run_command(argv[i]);
    if (access("/sys/firmware/acpi", F_OK) == 0)
        guest_poweroff("");
    guest_reboot("");
    for (;;)
        pause();
}
