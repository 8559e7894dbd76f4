/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The application as the network of its guest: frames KERNEL INITRD boots a guest and
 * is the one other host on its wire, 10.0.0.1, which answers ARP (RFC 826) and ping
 * (RFC 792). What the guest prints goes to standard output.
 *
 * One thread and no callbacks: frames and console are asked for in turn. An application
 * with a loop of its own would poll microvm_nic_handle and microvm_event_handle.
 */
#include <microvm/microvm.h>
#include <stdio.h>
#include <string.h>

enum {
    ETHERNET = 14,
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    ARP_BYTES = 28,
    IP_BYTES = 20,
    ICMP = 1,
    WAIT_MS = 20
};

static const uint8_t our_mac[6] = {0x52, 0, 0, 0, 0, 1};
static const uint8_t our_ip[4] = {10, 0, 0, 1};

static unsigned load16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

/* "Who has 10.0.0.1?" becomes "10.0.0.1 is at ...". */
static size_t answer_arp(uint8_t *arp, size_t length)
{
    if (length < ARP_BYTES || load16(arp + 6) != 1 || memcmp(arp + 24, our_ip, 4) != 0)
        return 0;
    arp[7] = 2;
    swap(arp + 8, arp + 18, 10); /* address and IP of both sides change places */
    memcpy(arp + 8, our_mac, sizeof our_mac);
    return ARP_BYTES;
}

/* The checksum of a message whose first byte went from 8 to 0 (RFC 1624). */
static void echo_becomes_reply(uint8_t *icmp)
{
    unsigned sum = load16(icmp + 2) + 0x0800;
    sum = (sum & 0xffff) + (sum >> 16);
    icmp[0] = 0;
    icmp[2] = (uint8_t)(sum >> 8);
    icmp[3] = (uint8_t)sum;
}

static size_t answer_ping(uint8_t *ip, size_t length)
{
    if (length < IP_BYTES + 8 || ip[0] != 0x45 || ip[9] != ICMP ||
        memcmp(ip + 16, our_ip, 4) != 0 || ip[IP_BYTES] != 8)
        return 0;
    swap(ip + 12, ip + 16, 4); /* which leaves the header's checksum as it is */
    echo_becomes_reply(ip + IP_BYTES);
    return length;
}

/* Makes a frame of the guest's the answer to it: its length, 0: there is none. */
static size_t answer(uint8_t *frame, size_t length)
{
    size_t rest = length - ETHERNET, n = 0;
    if (load16(frame + 12) == TYPE_ARP)
        n = answer_arp(frame + ETHERNET, rest);
    else if (load16(frame + 12) == TYPE_IPV4)
        n = answer_ping(frame + ETHERNET, rest);
    memcpy(frame, frame + 6, sizeof our_mac);
    memcpy(frame + 6, our_mac, sizeof our_mac);
    return n ? ETHERNET + n : 0;
}

static int serve(microvm *vm, microvm_nic *nic, intptr_t console, microvm_error *err)
{
    static uint8_t frame[MICROVM_FRAME_MAX];
    char text[4096];
    for (;;) {
        int64_t n = microvm_nic_recv_packet(nic, frame, sizeof frame, WAIT_MS, err);
        size_t reply = n > 0 ? answer(frame, (size_t)n) : 0;
        if (reply)
            (void)microvm_nic_send_packet(nic, frame, reply, 0, NULL);
        int64_t said = microvm_console_read(console, text, sizeof text, 0, NULL);
        if (said > 0)
            (void)fwrite(text, 1, (size_t)said, stdout);
        if (said == 0 && microvm_wait(vm, 0, NULL, NULL) == 0)
            return 0; /* the guest has ended, and all that it printed is here */
        if (n < 0 && n != MICROVM_E_TIMEOUT && n != MICROVM_E_NOT_RUNNING)
            return (int)n;
    }
}

int main(int argc, char **argv)
{
    microvm_net net = MICROVM_NET_INIT;
    microvm_error err = {0};
    microvm_nic *nic = NULL;
    intptr_t console = -1;

    if (argc != 3) {
        fprintf(stderr, "usage: frames KERNEL INITRD\n");
        return 125;
    }
    microvm_config *config = microvm_config_new();
    microvm_config_set_kernel(config, argv[1]);
    microvm_config_set_initrd(config, argv[2]);
    microvm_config_set_memory_mb(config, 256);
    microvm_config_set_cmdline(config, "quiet");
    microvm *vm = microvm_new(config, &err);
    microvm_config_free(config);

    net.backing = "callback";
    int rc = vm ? microvm_attach_net(vm, &net, &nic, &err) : err.code;
    if (!rc)
        rc = microvm_console_open(vm, &console, &err);
    if (!rc)
        rc = microvm_start(vm, &err);
    if (!rc)
        rc = serve(vm, nic, console, &err);
    if (console != -1)
        microvm_console_close(console);
    if (rc)
        fprintf(stderr, "frames: %s\n", err.message);
    microvm_free(vm);
    return rc ? 125 : 0;
}
