/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Terminals on POSIX systems. A process that is killed cannot put its terminal back, so
 * a guardian does it: a child that waits for the end of a pipe whose other end only we
 * hold. When we end without a word, whatever the reason, it restores the terminal,
 * unless somebody else has changed it by then (a shell that was faster). It lives in a
 * session of its own, so that what kills our process group misses it, and keeps nothing
 * open but the pipe and the terminal.
 */
#define _GNU_SOURCE
#include "term.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool raw;
    struct termios found, ours;
    int pipe; /* to the guardian */
    pid_t guardian;
} term = {.pipe = -1, .guardian = -1};

bool term_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

bool term_is_raw(void)
{
    return term.raw;
}

/* Comparing the whole struct would compare padding and speeds. */
static bool same_modes(const struct termios *a, const struct termios *b)
{
    return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag &&
           a->c_cflag == b->c_cflag && a->c_lflag == b->c_lflag;
}

/* All descriptors but the terminal and `kept`: a file or pipe that somebody waits for
 * the end of must not stay open in the guardian. */
static void guardian_close_others(int kept)
{
    long most = sysconf(_SC_OPEN_MAX);
    int end = most > 0 && most < 65536 ? (int)most : 65536;
    (void)close(1);
    (void)close(2);
    for (int fd = 3; fd < end; fd++) {
        if (fd != kept)
            (void)close(fd);
    }
}

static void guardian_run(int end) __attribute__((noreturn));
static void guardian_run(int end)
{
    struct termios now;
    char told;
    sigset_t all;
    (void)sigfillset(&all); /* SIGTTOU among them: we are in the background */
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)setsid();
    guardian_close_others(end);
    while (read(end, &told, 1) == 0) {
        if (tcgetattr(0, &now) == 0 && same_modes(&now, &term.ours))
            (void)tcsetattr(0, TCSANOW, &term.found);
        break;
    }
    _exit(0);
}

static bool guardian_start(void)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    term.guardian = fork();
    if (term.guardian == 0) {
        (void)close(ends[1]);
        guardian_run(ends[0]);
    }
    (void)close(ends[0]);
    term.pipe = ends[1];
    return term.guardian > 0;
}

bool term_make_raw(void)
{
    if (tcgetattr(0, &term.found) != 0)
        return false;
    term.ours = term.found;
    cfmakeraw(&term.ours);
    if (!guardian_start()) {
        term_restore();
        return false;
    }
    term.raw = tcsetattr(0, TCSADRAIN, &term.ours) == 0;
    return term.raw;
}

void term_restore(void)
{
    if (term.raw)
        (void)tcsetattr(0, TCSADRAIN, &term.found);
    term.raw = false;
    if (term.pipe >= 0) {
        (void)!write(term.pipe, "", 1);
        (void)close(term.pipe);
        term.pipe = -1;
    }
    if (term.guardian > 0)
        (void)waitpid(term.guardian, NULL, 0);
    term.guardian = -1;
}

void term_suspend(void)
{
    bool raw = term.raw;
    if (raw)
        (void)tcsetattr(0, TCSADRAIN, &term.found);
    (void)raise(SIGSTOP);
    if (raw)
        (void)tcsetattr(0, TCSADRAIN, &term.ours);
}

bool term_size(uint16_t *columns, uint16_t *rows)
{
    struct winsize size;
    memset(&size, 0, sizeof size);
    if (ioctl(0, TIOCGWINSZ, &size) != 0 || !size.ws_col || !size.ws_row)
        return false;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return true;
}

uint64_t term_clock_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
