/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Systems whose UNIX sockets are streams only.
 */
#include "os/socket.h"

int mv_socket_has(microvm_socket_type type, microvm_error *err)
{
    if (type == MICROVM_SOCKET_STREAM)
        return 0;
    return mv_fail(err, MICROVM_E_UNSUPPORTED,
                   "sockets: SOCK_SEQPACKET is not there on this system, Linux has it; "
                   "use a stream");
}

int64_t mv_socket_next(intptr_t socket)
{
    (void)socket;
    return MV_SOCKET_GONE; /* there are none */
}
