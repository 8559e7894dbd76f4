/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the library asks of microvm-netd: a line of JSON each way.
 *
 *   {"do": "open", "mtu": 65520, "ipv6": true, "restrict": false, "host": true,
 *    "rules": ["allow example.com", "deny 10.0.0.0/8"]}
 *   {"do": "forward", "add": "8080:80"}   {"do": "forward", "remove": "8080:80"}
 *   {"do": "stats"}
 *
 * Each is answered with {"ok": true, ...} or {"error": "a sentence"}; that to a forward
 * says where it listens, {"ok": true, "at": "127.0.0.1:8080/tcp"}. "open" comes first,
 * once; after it the process is in its sandbox.
 */
#ifndef NETD_CONTROL_H
#define NETD_CONTROL_H

#include "stack.h"

enum { REQUEST_MAX = 64 * 1024 };

struct netd {
    struct stack stack;
    int control;
    char line[REQUEST_MAX];
    size_t length;
    bool opened, gone;
};

/* Reads once from the control socket and answers every line that is whole. `gone` is
 * set when the library's end has closed, or sends a line without an end. */
void control_read(struct netd *netd);

#endif
