/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How connections of the application have ended. A pair of sockets cannot say it: its
 * reader gets the same end of file from a guest that has said all and from one that was
 * cut off. So it is kept here by the application's socket, from the connection's
 * beginning until that number begins another; when there is no room any more, of those
 * that were cut off the first found is forgotten.
 */
#include "backing/vsock_ports.h"

/* Numbers that begin something else now end what they were. */
static void links_forget(struct mv_vsock_ports *ports, intptr_t ours, intptr_t theirs)
{
    for (unsigned i = 0; i < ports->links; i++) {
        struct mv_vsock_link *l = &ports->link[i];
        if (l->theirs == theirs || (l->live && l->ours == ours))
            l->live = l->cut = false;
    }
}

static struct mv_vsock_link *link_place(struct mv_vsock_ports *ports)
{
    struct mv_vsock_link *over = NULL;
    for (unsigned i = 0; i < ports->links; i++) {
        struct mv_vsock_link *l = &ports->link[i];
        if (!l->live && !l->cut)
            return l;
        if (!l->live)
            over = l;
    }
    return ports->links < MV_VSOCK_LINKS ? &ports->link[ports->links++] : over;
}

void mv_vsock_link_add(struct mv_vsock_ports *ports, intptr_t ours, intptr_t theirs)
{
    links_forget(ports, ours, theirs);
    struct mv_vsock_link *l = link_place(ports);
    if (l)
        *l = (struct mv_vsock_link){.ours = ours, .theirs = theirs, .live = true};
}

void mv_vsock_link_closed(struct mv_vsock_ports *ports, intptr_t ours, bool cut)
{
    for (unsigned i = 0; i < ports->links; i++) {
        struct mv_vsock_link *l = &ports->link[i];
        if (!l->live || l->ours != ours)
            continue;
        l->live = false;
        l->cut = cut;
        return;
    }
}

bool mv_vsock_link_was_cut(const struct mv_vsock_ports *ports, intptr_t theirs)
{
    for (unsigned i = 0; i < ports->links; i++) {
        if (ports->link[i].cut && ports->link[i].theirs == theirs)
            return true;
    }
    return false;
}
