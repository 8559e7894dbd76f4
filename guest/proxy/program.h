/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the programs here share before their loops turn: words of the command line, the
 * sockets that they listen on, and how they give up.
 */
#ifndef GUEST_PROGRAM_H
#define GUEST_PROGRAM_H

#include <netinet/in.h>
#include <stdint.h>

#include <linux/vm_sockets.h>

/* Both end the program; `what` with errno, and a value that was given. */
__attribute__((noreturn)) void program_fail(const char *program, const char *what);
__attribute__((noreturn)) void program_wrong(const char *program, const char *what,
                                             const char *value);

uint32_t program_number(const char *program, const char *text, uint32_t most,
                        const char *what);
/* "127.0.0.1:1080" */
struct sockaddr_in program_address(const char *program, char *text);
struct sockaddr_vm program_vsock(uint32_t cid, uint32_t port);
/* A socket that listens. */
int program_listen(const char *program, const void *address, socklen_t length);
/* As many descriptors as the system allows. */
void program_files(void);

#endif
