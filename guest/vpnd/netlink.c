/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A socket for each question: they are few, and none is left with half an answer. */
#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MAX = 32768 /* what the kernel's dumps fill at most */ };

void netlink_begin(struct netlink *m, int type, int flags, size_t body)
{
    memset(m, 0, sizeof *m);
    m->header.nlmsg_type = (uint16_t)type;
    m->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    m->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
}

void netlink_put(struct netlink *m, int type, const void *data, size_t size)
{
    struct rtattr attribute = {.rta_type = (uint16_t)type,
                               .rta_len = (uint16_t)RTA_LENGTH(size)};
    uint8_t *at = (uint8_t *)m + NLMSG_ALIGN(m->header.nlmsg_len);
    memcpy(at, &attribute, sizeof attribute);
    memcpy(at + RTA_LENGTH(0), data, size);
    m->header.nlmsg_len =
        (uint32_t)(NLMSG_ALIGN(m->header.nlmsg_len) + RTA_SPACE(size));
}

void netlink_put32(struct netlink *m, int type, uint32_t value)
{
    netlink_put(m, type, &value, sizeof value);
}

/* What one datagram says: -1: more will come. */
static int answer_read(const struct nlmsghdr *header, size_t size,
                       void (*fn)(const struct nlmsghdr *, void *), void *data)
{
    for (; NLMSG_OK(header, size); header = NLMSG_NEXT(header, size)) {
        const struct nlmsgerr *error = NLMSG_DATA(header);
        if (header->nlmsg_type == NLMSG_ERROR)
            return header->nlmsg_len < NLMSG_LENGTH(sizeof error->error)
                       ? EPROTO
                       : -error->error;
        if (header->nlmsg_type == NLMSG_DONE)
            return 0;
        if (fn)
            fn(header, data);
    }
    return -1;
}

int netlink_send(const struct netlink *m,
                 void (*fn)(const struct nlmsghdr *answer, void *data), void *data)
{
    static _Alignas(struct nlmsghdr) uint8_t answer[ANSWER_MAX];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), rc = -1;
    if (fd < 0)
        return errno;
    if (send(fd, m, m->header.nlmsg_len, 0) < 0)
        rc = errno;
    while (rc < 0) {
        ssize_t n = recv(fd, answer, sizeof answer, 0);
        rc = n > 0 ? answer_read((const void *)answer, (size_t)n, fn, data)
             : n   ? errno
                   : EPROTO;
    }
    (void)close(fd);
    return rc;
}

const void *netlink_find(const struct nlmsghdr *answer, size_t body, int type,
                         size_t size)
{
    if (answer->nlmsg_len < NLMSG_LENGTH(body))
        return NULL;
    size_t left = answer->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(body));
    const struct rtattr *at =
        (const void *)((const uint8_t *)NLMSG_DATA(answer) + NLMSG_ALIGN(body));
    for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (at->rta_type == type && RTA_PAYLOAD(at) >= size)
            return RTA_DATA(at);
    }
    return NULL;
}
