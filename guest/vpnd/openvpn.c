/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The process of openvpn.h. The socket of the management interface listens here, in a
 * folder of root's, before OpenVPN is started, and only OpenVPN's own connection is
 * taken: so nothing waits for it, and nobody else is heard. Should this program be
 * killed, OpenVPN gets SIGTERM from the kernel.
 */
#define _GNU_SOURCE
#include "openvpn.h"

#include "gate.h"
#include "guest/lib/loop.h"
#include "guest/lib/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    END_MS = 3000, /* it tells the server of its end for a second or two */
    LINE_MAX_BYTES = 8192,
    SAY_MAX = 4096
};

/* Lines out of a stream; what is longer is cut off. */
struct lines {
    struct watch watch;
    char text[LINE_MAX_BYTES];
    size_t length;
};

static struct openvpn_settings settings;
static struct watch listener = WATCH_NONE, process = WATCH_NONE;
static struct lines management = {.watch = WATCH_NONE}, output = {.watch = WATCH_NONE};
static pid_t pid;
static struct timer end_timer;
static char trouble[200];

/* ---- lines ----------------------------------------------------------------------- */

/* What there is now; 0: nothing, -1: the stream has ended. */
static int lines_take(struct lines *lines, void (*fn)(char *line))
{
    char piece[4096];
    ssize_t n = read(lines->watch.fd, piece, sizeof piece);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    for (ssize_t i = 0; i < n && lines->watch.fd >= 0; i++) {
        if (piece[i] != '\n') {
            if (piece[i] != '\r' && piece[i] && lines->length + 1 < sizeof lines->text)
                lines->text[lines->length++] = piece[i];
            continue;
        }
        lines->text[lines->length] = '\0';
        lines->length = 0;
        fn(lines->text);
    }
    return 1;
}

static void output_line(char *line)
{
    static const char *const words[] = {"rror",    "ERROR",  "annot",    "ailed",
                                        "refused", "nreach", "timed out"};
    if (settings.verbose)
        (void)fprintf(stderr, "openvpn: %s\n", line);
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(line, words[i])) {
            (void)snprintf(trouble, sizeof trouble, "%s", line);
            return;
        }
    }
}

static void output_heard(struct watch *watch, uint32_t events)
{
    (void)events;
    if (lines_take(&output, output_line) < 0)
        watch_close(watch);
}

static void management_heard(struct watch *watch, uint32_t events)
{
    (void)events;
    if (lines_take(&management, settings.line) < 0)
        watch_close(watch); /* it ends: its end is told by the process */
}

static void listener_heard(struct watch *watch, uint32_t events)
{
    struct ucred peer = {.pid = -1};
    socklen_t length = sizeof peer;
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
    if (peer.pid != pid || management.watch.fd >= 0) {
        (void)close(fd);
        return;
    }
    management.length = 0;
    (void)watch_add(&management.watch, fd, EPOLLIN, management_heard);
    openvpn_say("state on");
}

void openvpn_say(const char *format, ...)
{
    char line[SAY_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (management.watch.fd >= 0 && n > 0 && n < SAY_MAX - 1) {
        line[n++] = '\n';
        (void)send(management.watch.fd, line, (size_t)n, MSG_NOSIGNAL);
    }
    explicit_bzero(line, sizeof line);
}

const char *openvpn_trouble(void)
{
    return trouble;
}

/* ---- the process ----------------------------------------------------------------- */

static void process_ended(struct watch *watch, uint32_t events)
{
    siginfo_t info = {.si_pid = 0};
    (void)events;
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ||
        info.si_pid == 0)
        return;
    /* Its last words may be why. Until they are heard it stays a zombie: they may have
     * it ended, and the signal must reach no other process of that number. */
    while (management.watch.fd >= 0 && lines_take(&management, settings.line) > 0)
        continue;
    while (output.watch.fd >= 0 && lines_take(&output, output_line) > 0)
        continue;
    watch_close(&management.watch);
    watch_close(&output.watch);
    watch_close(watch);
    timer_clear(&end_timer);
    (void)waitid(P_PID, (id_t)pid, &info, WEXITED);
    pid = 0;
    settings.ended(info.si_status, info.si_code != CLD_EXITED);
}

static void socket_path(struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(address->sun_path, sizeof address->sun_path, "%s/management",
                   settings.folder);
}

bool openvpn_open(const struct openvpn_settings *s)
{
    struct sockaddr_un address;
    settings = *s;
    (void)mkdir(settings.folder, 0700);
    socket_path(&address);
    if (strlen(settings.folder) + sizeof "/management" > sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    (void)unlink(address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && !bind(fd, (const void *)&address, sizeof address) &&
           !chmod(address.sun_path, 0600) && !listen(fd, 4) &&
           watch_add(&listener, fd, EPOLLIN, listener_heard);
}

/* In the child. Ours come last: they win over the profile's. */
static void process_exec(const char *profile, const char *socket, int out)
{
    const char *words[40] = {settings.program,
                             "--config",
                             profile,
                             "--dev",
                             "tun0",
                             "--dev-type",
                             "tun",
                             "--verb",
                             "3",
                             "--suppress-timestamps",
                             "--setenv",
                             "IV_SSO",
                             "webauth,openurl,crtext",
                             "--push-peer-info",
                             "--auth-retry",
                             "interact",
                             "--management",
                             socket,
                             "unix",
                             "--management-client",
                             "--management-hold",
                             "--management-query-passwords",
                             "--management-up-down"};
    char mark[16];
    unsigned n = 0;
    sigset_t none;
    (void)snprintf(mark, sizeof mark, "%d", GATE_MARK);
    while (words[n])
        n++;
    if (gate_is_closed()) {
        words[n++] = "--mark";
        words[n++] = mark;
    }
    if (!settings.scripts) {
        words[n++] = "--script-security";
        words[n++] = "1";
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    int nothing = open("/dev/null", O_RDONLY);
    (void)dup2(nothing, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    char *argv[40];
    memcpy(argv, words, sizeof argv);
    (void)execv(settings.program, argv);
    dprintf(STDOUT_FILENO, "Error: %s: %s\n", settings.program, strerror(errno));
    _exit(127);
}

bool openvpn_start(const char *profile)
{
    struct sockaddr_un address;
    int out[2];
    socket_path(&address);
    trouble[0] = '\0';
    output.length = 0;
    if (pipe2(out, O_CLOEXEC))
        return false;
    pid = fork();
    if (pid == 0)
        process_exec(profile, address.sun_path, out[1]);
    int saved = errno;
    (void)close(out[1]);
    int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (fd < 0) {
        (void)close(out[0]);
        if (pid > 0) {
            saved = errno;
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
        }
        pid = 0;
        errno = saved;
        return false;
    }
    (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return watch_add(&output.watch, out[0], EPOLLIN, output_heard) &&
           watch_add(&process, fd, EPOLLIN, process_ended);
}

bool openvpn_runs(void)
{
    return pid > 0;
}

static void end_late(void)
{
    if (pid > 0)
        (void)kill(pid, SIGKILL);
}

void openvpn_end(void)
{
    if (pid <= 0 || end_timer.at_ms)
        return;
    (void)kill(pid, SIGTERM);
    timer_set(&end_timer, END_MS, end_late);
}
