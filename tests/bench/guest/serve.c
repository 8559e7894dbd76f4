/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * For bench_socks.py, in the guest: the same service on a vsock port and on TCP. The
 * first byte of a connection says what follows: 'S' everything is swallowed until the
 * end, then a byte is sent; 'G' bytes are sent until nobody takes them; 'E' what comes
 * goes back. A process for each. Connections to the next TCP port are never looked at.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

enum { PORT = 9000 };

static char block[256 << 10];

static void serve(int fd)
{
    char what;
    const int on = 1;
    ssize_t n;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (read(fd, &what, 1) != 1)
        return;
    if (what == 'G') {
        while (write(fd, block, sizeof block) > 0)
            continue;
        return;
    }
    while ((n = read(fd, block, sizeof block)) > 0) {
        if (what == 'E' && write(fd, block, (size_t)n) != n)
            return;
    }
    (void)!write(fd, "", 1);
}

static void accept_all(int family, const void *address, socklen_t length, bool deaf)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (bind(fd, address, length) || listen(fd, 2048))
        return;
    while (deaf)
        (void)pause();
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client >= 0 && fork() == 0) {
            (void)close(fd);
            serve(client);
            _exit(0);
        }
        (void)close(client);
    }
}

int main(void)
{
    struct sockaddr_in tcp = {.sin_family = AF_INET,
                              .sin_port = htons(PORT),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_vm vsock = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PORT};
    (void)signal(SIGCHLD, SIG_IGN);
    if (fork() == 0)
        accept_all(AF_INET, &tcp, sizeof tcp, false);
    tcp.sin_port = htons(PORT + 1);
    if (fork() == 0)
        accept_all(AF_INET, &tcp, sizeof tcp, true);
    accept_all(AF_VSOCK, &vsock, sizeof vsock, false);
    return 1;
}
