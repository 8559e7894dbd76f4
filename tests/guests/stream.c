/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bytes through the console, each direction checked by length and CRC-32 (the one of
 * zlib and Ethernet, so that the host needs no code of ours). The terminal is set raw
 * for the time, and put back.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static uint32_t crc32_add(uint32_t crc, const unsigned char *p, size_t length)
{
    static uint32_t table[256];
    if (!table[1]) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++)
                c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
            table[i] = c;
        }
    }
    crc = ~crc;
    for (size_t i = 0; i < length; i++)
        crc = table[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

static struct termios raw_terminal(void)
{
    struct termios before, raw;
    tcgetattr(0, &before);
    raw = before;
    cfmakeraw(&raw);
    tcsetattr(0, TCSADRAIN, &raw);
    return before;
}

static int write_all(const unsigned char *p, size_t length)
{
    while (length) {
        ssize_t n = write(1, p, length);
        if (n <= 0)
            return -1;
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Sends ARG bytes of every value; then their CRC. */
void guest_source(const char *arg)
{
    size_t total = strtoul(arg, NULL, 10), left = total;
    unsigned char block[4096];
    uint64_t x = 0x2545f4914f6cdd1du;
    uint32_t crc = 0;
    printf("MV source begin %zu\n", total);
    fflush(stdout);
    struct termios before = raw_terminal();
    while (left) {
        size_t n = left < sizeof block ? left : sizeof block;
        for (size_t i = 0; i < n; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            block[i] = (unsigned char)(x >> 32);
        }
        crc = crc32_add(crc, block, n);
        if (write_all(block, n))
            break;
        left -= n;
    }
    tcsetattr(0, TCSADRAIN, &before);
    printf("\nMV source crc %08x of %zu bytes\n", (unsigned)crc, total - left);
}

/* Takes ARG bytes; then tells their CRC. Says "ready" when it may be sent to. */
void guest_sink(const char *arg)
{
    size_t total = strtoul(arg, NULL, 10), got = 0;
    static unsigned char block[65536];
    uint32_t crc = 0;
    struct termios before = raw_terminal();
    write_all((const unsigned char *)"MV sink ready\n", 14);
    while (got < total) {
        size_t want = total - got < sizeof block ? total - got : sizeof block;
        ssize_t n = read(0, block, want);
        if (n <= 0)
            break;
        crc = crc32_add(crc, block, (size_t)n);
        got += (size_t)n;
    }
    tcsetattr(0, TCSADRAIN, &before);
    printf("MV sink crc %08x of %zu bytes\n", (unsigned)crc, got);
}
