/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AF_VSOCK in the guest: a server that the host connects to, clients that connect to
 * the host, and what the kernel says to mistakes.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

/* Ports of the server. */
enum {
    ECHO = 10,
    CLOSE = 11,
    REBIND = 12,
    STOP = 13,
    SILENT = 14,
    MESSAGES = 15, /* SOCK_SEQPACKET: each comes back */
    PORTS = 6
};
enum { LONGEST = 64 << 10, WINDOW = 4 }; /* messages: their length, how many at once */

static struct sockaddr_vm address(unsigned cid, unsigned port)
{
    return (struct sockaddr_vm){
        .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int dial_type(int type, unsigned cid, unsigned port)
{
    struct sockaddr_vm to = address(cid, port);
    int s = socket(AF_VSOCK, type | SOCK_CLOEXEC, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof to) == 0)
        return s;
    int why = errno;
    close(s);
    errno = why;
    return -1;
}

static int dial(unsigned cid, unsigned port)
{
    return dial_type(SOCK_STREAM, cid, port);
}

static int listen_on(unsigned port)
{
    struct sockaddr_vm at = address(VMADDR_CID_ANY, port);
    int type = port == MESSAGES ? SOCK_SEQPACKET : SOCK_STREAM;
    int s = socket(AF_VSOCK, type | SOCK_CLOEXEC, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 128)) {
        guest_trouble("vsock-serve", "listen");
        return -1;
    }
    return s;
}

/* Sends back what comes, and the end of it. */
static void echo(int s)
{
    static char data[65536];
    ssize_t n;
    while ((n = read(s, data, sizeof data)) > 0) {
        for (ssize_t done = 0, m; done < n; done += m) {
            m = write(s, data + done, (size_t)(n - done));
            if (m <= 0)
                return;
        }
    }
    shutdown(s, SHUT_WR);
    while (read(s, data, sizeof data) > 0)
        continue;
}

/* Sends back each message as it comes. */
static void echo_messages(int s)
{
    static char data[LONGEST];
    ssize_t n;
    while ((n = read(s, data, sizeof data)) > 0 && write(s, data, (size_t)n) == n)
        continue;
    shutdown(s, SHUT_WR);
    while (read(s, data, sizeof data) > 0)
        continue;
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        guest_trouble("vsock-rebind", path);
    if (fd >= 0)
        close(fd);
}

/* Takes the driver away from its device, which resets it, and gives it back. */
static void rebind(void)
{
    const char *driver = "/sys/bus/virtio/drivers/vmw_vsock_virtio_transport";
    char path[128];
    struct dirent *entry;
    DIR *dir = opendir(driver);
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "virtio", 6))
            continue;
        snprintf(path, sizeof path, "%s/unbind", driver);
        write_file(path, entry->d_name);
        snprintf(path, sizeof path, "%s/bind", driver);
        write_file(path, entry->d_name);
        printf("MV vsock-rebind %s\n", entry->d_name);
        break;
    }
    if (dir)
        closedir(dir);
    else
        guest_trouble("vsock-rebind", driver);
}

/* A process for each echo; until somebody connects to STOP. */
void guest_vsock_serve(const char *arg)
{
    const unsigned port[PORTS] = {ECHO, CLOSE, REBIND, STOP, SILENT, MESSAGES};
    struct pollfd p[PORTS];
    (void)arg;
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < PORTS; i++)
        p[i] = (struct pollfd){.fd = listen_on(port[i]), .events = POLLIN};
    printf("MV vsock-serve ready\n");
    for (int stop = 0; !stop && poll(p, PORTS, -1) > 0;) {
        for (int i = 0; i < PORTS; i++) {
            int s = p[i].revents & POLLIN ? accept(p[i].fd, NULL, NULL) : -1;
            if (s < 0)
                continue;
            if ((port[i] == ECHO || port[i] == MESSAGES) && fork() == 0) {
                if (port[i] == ECHO)
                    echo(s);
                else
                    echo_messages(s);
                _exit(0);
            }
            if (port[i] == REBIND)
                rebind();
            stop |= port[i] == STOP;
            if (port[i] != SILENT) /* which stays open, and is never read */
                close(s);
        }
    }
    for (int i = 0; i < PORTS; i++)
        close(p[i].fd);
    signal(SIGCHLD, SIG_DFL);
    printf("MV vsock-serve done\n");
}

/* PORT:N: connects N times to the host, which closes each. */
void guest_vsock_dial(const char *arg)
{
    char *end;
    unsigned port = (unsigned)strtoul(arg, &end, 10), good = 0;
    unsigned count = *end ? (unsigned)strtoul(end + 1, NULL, 10) : 1;
    for (unsigned i = 0; i < count; i++) {
        char byte;
        int s = dial(VMADDR_CID_HOST, port);
        if (s < 0) {
            guest_trouble("vsock-dial", "connect");
            break;
        }
        good += read(s, &byte, 1) == 0;
        close(s);
    }
    printf("MV vsock-dial %u of %u\n", good, count);
}

static void expect(const char *what, int got, int wanted)
{
    if (got == wanted)
        return;
    printf("MV vsock-errors error: %s: ", what);
    printf("%s, wanted %s\n", strerror(got), strerror(wanted));
}

static int connect_error(unsigned cid, unsigned port)
{
    int s = dial(cid, port);
    int why = s < 0 ? errno : 0;
    if (s >= 0)
        close(s);
    return why;
}

/* CID: the kernel's answers to mistakes; what concerns the host comes within 100 ms. */
void guest_vsock_errors(const char *arg)
{
    unsigned cid = 0;
    int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid))
        guest_trouble("vsock-errors", "/dev/vsock");
    close(fd);
    if (cid != strtoul(arg, NULL, 10))
        printf("MV vsock-errors error: the cid is %u\n", cid);
    int64_t began = now_us();
    expect("a port without listener", connect_error(VMADDR_CID_HOST, 999), ECONNRESET);
    expect("another guest", connect_error(77, 999), ECONNRESET);
    int64_t took = now_us() - began;
    int first = listen_on(50);
    struct sockaddr_vm at = address(VMADDR_CID_ANY, 50);
    int s = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect("a port twice", bind(s, (struct sockaddr *)&at, sizeof at) ? errno : 0,
           EADDRINUSE);
    expect("reading without connection", recv(s, &at, 1, 0) < 0 ? errno : 0, ENOTCONN);
    close(s);
    close(first);
    s = dial_type(SOCK_SEQPACKET, VMADDR_CID_HOST, 20);
    expect("messages to who listens for streams", s < 0 ? errno : 0, ECONNRESET);
    if (s >= 0)
        close(s);
    printf("MV vsock-errors refused in %lld us\n", (long long)took);
}

/* PORT: a message to the host, half a close, and the host's answer up to its end. */
void guest_vsock_half(const char *arg)
{
    char answer[64];
    int s = dial(VMADDR_CID_HOST, (unsigned)strtoul(arg, NULL, 10));
    if (s < 0 || write(s, "question", 8) != 8 || shutdown(s, SHUT_WR)) {
        guest_trouble("vsock-half", "connect");
        return;
    }
    ssize_t n, got = 0;
    while ((n = read(s, answer + got, sizeof answer - 1 - (size_t)got)) > 0)
        got += n;
    answer[got] = '\0';
    printf("MV vsock-half answer %s\n", answer);
    if (write(s, "x", 1) != -1 || errno != EPIPE)
        printf("MV vsock-half error: writing went on\n");
    close(s);
}

/* Messages of all lengths, most of them short; api_vsock.c knows the same. */
static size_t message_length(uint32_t i)
{
    uint32_t r = (i + 1) * 2654435761u;
    return 1 + (r >> 8) % (1u << (1 + (r >> 4) % 16));
}

static void message_fill(char *to, uint32_t i, size_t length)
{
    for (size_t k = 0; k < length; k++)
        to[k] = (char)(i * 31 + k + (k >> 8) * 7);
}

static int message_comes_back(int s, uint32_t i)
{
    static char got[LONGEST + 1], sent[LONGEST];
    size_t length = message_length(i);
    message_fill(sent, i, length);
    ssize_t n = read(s, got, sizeof got);
    if (n == (ssize_t)length && memcmp(got, sent, length) == 0)
        return 1;
    printf("MV vsock-messages error: message %u of %zu bytes: %zd bytes\n", i, length,
           n);
    return 0;
}

/* PORT:N: N messages to the host, which sends each back; then one that is too long. */
void guest_vsock_messages(const char *arg)
{
    static char data[LONGEST + 1];
    char *end;
    unsigned port = (unsigned)strtoul(arg, &end, 10), sent = 0, good = 0;
    unsigned count = *end ? (unsigned)strtoul(end + 1, NULL, 10) : 1;
    int s = dial_type(SOCK_SEQPACKET, VMADDR_CID_HOST, port);
    if (s < 0) {
        guest_trouble("vsock-messages", "connect");
        return;
    }
    while (good < count) {
        for (; sent < count && sent < good + WINDOW; sent++) {
            size_t length = message_length(sent);
            message_fill(data, sent, length);
            if (write(s, data, length) != (ssize_t)length)
                guest_trouble("vsock-messages", "write");
        }
        if (!message_comes_back(s, good))
            break;
        good++;
    }
    if (write(s, data, sizeof data) != -1 ||
        (errno != EMSGSIZE && errno != ENOMEM)) /* Linux 6.1 */
        printf("MV vsock-messages error: the longest is longer\n");
    shutdown(s, SHUT_WR);
    while (read(s, data, sizeof data) > 0)
        continue;
    close(s);
    printf("MV vsock-messages %u of %u\n", good, count);
}
