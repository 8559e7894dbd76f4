# SPDX-License-Identifier: MIT OR Apache-2.0
"""A network namespace for this process and its children, and tap devices in it. Both
need root; both are gone with the last process in the namespace."""
import ctypes
import fcntl
import os
import socket
import struct

import procs

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
IFF_UP_RUNNING = 0x41
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


def enter():
    if procs.libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace of our own")
    up("lo", None)


def up(device, address):
    name = device.encode()

    def request(a):
        return struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(a))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        if address:
            fcntl.ioctl(s, SIOCSIFADDR, request(address))
            fcntl.ioctl(s, SIOCSIFNETMASK, request("255.255.255.0"))
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", name, IFF_UP_RUNNING))


def tap(name, exists):
    """Makes or removes a tap device."""
    f = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(f, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(f, TUNSETPERSIST, int(exists))
    finally:
        os.close(f)
