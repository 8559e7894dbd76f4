/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Beginnings of programs. */
#define _GNU_SOURCE
#include "program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { BACKLOG = 1024 };

void program_fail(const char *program, const char *what)
{
    (void)fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
    exit(1);
}

void program_wrong(const char *program, const char *what, const char *value)
{
    (void)fprintf(stderr, "%s: %s '%s'; see %s --help\n", program, what, value,
                  program);
    exit(2);
}

uint32_t program_number(const char *program, const char *text, uint32_t most,
                        const char *what)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > most)
        program_wrong(program, what, text);
    return (uint32_t)value;
}

struct sockaddr_in program_address(const char *program, char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char *colon = strrchr(text, ':');
    if (!colon)
        program_wrong(program, "an address is ADDR:PORT, not", text);
    address.sin_port = htons(
        (uint16_t)program_number(program, colon + 1, UINT16_MAX, "a port is not"));
    *colon = '\0';
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        program_wrong(program, "this is no IPv4 address:", text);
    return address;
}

struct sockaddr_vm program_vsock(uint32_t cid, uint32_t port)
{
    return (struct sockaddr_vm){
        .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

int program_listen(const char *program, const void *address, socklen_t length)
{
    const int on = 1;
    int family = ((const struct sockaddr *)address)->sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        program_fail(program, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, length) || listen(fd, BACKLOG))
        program_fail(program, "it cannot listen");
    return fd;
}

void program_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}
