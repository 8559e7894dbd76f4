/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The user network without a VM: a tap device of this network namespace takes the
 * guest's place, with its address and MTU, and this program that of the VMM. It carries
 * frames between tap and microvm-netd while a program (the measuring guest, as a
 * process of the host) runs that connects through them. What the row of the VM has less
 * than this one is the VM's.
 *
 * Usage: netd MICROVM-NETD PROGRAM [ARGUMENT...]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MTU = 65520, FRAME_MAX = 1 << 17, BATCH = 64 };

static void die(const char *what)
{
    fprintf(stderr, "netd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void set_address(int s, struct ifreq *r, unsigned long request, const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text)};
    memcpy(&r->ifr_addr, &a, sizeof a);
    if (ioctl(s, request, r))
        die("the tap's address");
}

static int make_tap(void)
{
    struct ifreq r = {.ifr_name = "bnetd"};
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    r.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (tap < 0 || s < 0 || ioctl(tap, TUNSETIFF, &r))
        die("a tap device");
    r.ifr_mtu = MTU;
    if (ioctl(s, SIOCSIFMTU, &r))
        die("the tap's MTU");
    set_address(s, &r, SIOCSIFADDR, "10.0.2.15");
    set_address(s, &r, SIOCSIFNETMASK, "255.255.255.0");
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(s, SIOCSIFFLAGS, &r))
        die("the tap device");
    close(s);
    return tap;
}

/* The end of its packet socket. The control socket stays open: netd ends with it. */
static int start_netd(const char *program)
{
    static const char request[] = "{\"do\": \"open\", \"mtu\": 65520}\n";
    int frames[2], control[2], size = 1 << 20;
    char a[16], b[16], answer[256];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, frames) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control))
        die("sockets");
    for (int i = 0; i < 2; i++)
        setsockopt(frames[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    snprintf(a, sizeof a, "%d", frames[1]);
    snprintf(b, sizeof b, "%d", control[1]);
    pid_t pid = fork();
    if (pid == 0) {
        fcntl(frames[1], F_SETFD, 0);
        fcntl(control[1], F_SETFD, 0);
        execl(program, program, a, b, NULL);
        _exit(127);
    }
    close(frames[1]);
    close(control[1]);
    ssize_t n = -1;
    if (pid > 0 && write(control[0], request, sizeof request - 1) > 0)
        n = read(control[0], answer, sizeof answer - 1);
    answer[n > 0 ? n : 0] = '\0';
    if (!strstr(answer, "\"ok\""))
        die("microvm-netd");
    return frames[0];
}

/* A descriptor that is closed when the program ends. */
static int start_program(char **argv)
{
    int end[2];
    if (pipe(end))
        die("pipe");
    fcntl(end[0], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    close(end[1]);
    if (pid < 0)
        die("fork");
    return end[0];
}

/* netd never waits for us, so we may wait for it. */
static void carry(int from, int to, int to_tap)
{
    static char frame[FRAME_MAX];
    for (int i = 0; i < BATCH; i++) {
        ssize_t n = to_tap ? recv(from, frame, sizeof frame, MSG_DONTWAIT)
                           : read(from, frame, sizeof frame);
        if (n <= 0)
            return;
        if (to_tap ? write(to, frame, (size_t)n) < 0
                   : send(to, frame, (size_t)n, MSG_NOSIGNAL) < 0)
            fprintf(stderr, "netd: a frame is lost: %s\n", strerror(errno));
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int tap = make_tap(), netd = start_netd(argv[1]);
    struct pollfd p[] = {{.fd = start_program(argv + 2)},
                         {.fd = tap, .events = POLLIN},
                         {.fd = netd, .events = POLLIN}};
    while (poll(p, 3, -1) > 0 && !p[0].revents) {
        if (p[1].revents)
            carry(tap, netd, 0);
        if (p[2].revents)
            carry(netd, tap, 1);
    }
    return 0;
}
