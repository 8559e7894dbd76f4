/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The MSI-X table against a model of PCI 3.0, 6.8.2: after every step table and pending
 * bits read as the model's, and exactly the messages have been sent that it has sent,
 * with the contents of its entries. The table is also moved by save and load, damaged
 * ones included.
 */
#include "fuzz.h"

#include "pci/msix.h"

enum { VECTORS = 5, BYTES = VECTORS * 16, CONTROL = 12 };

struct model {
    struct mv_msix msix;
    bool enabled, masked;
    uint8_t table[BYTES];
    uint8_t pending;
    unsigned sent[VECTORS], seen[VECTORS]; /* by the model, by the host */
    bool told[VECTORS];
    uint64_t address[VECTORS];
    uint32_t data[VECTORS];
};

static void on_changed(void *ctx, unsigned v, uint64_t address, uint32_t data)
{
    struct model *m = ctx;
    MV_ASSERT(v < VECTORS);
    MV_ASSERT(!m->told[v] || m->address[v] != address || m->data[v] != data);
    m->told[v] = true;
    m->address[v] = address;
    m->data[v] = data;
}

static void on_send(void *ctx, unsigned v, uint64_t address, uint32_t data)
{
    struct model *m = ctx;
    MV_ASSERT(v < VECTORS && m->told[v]);
    MV_ASSERT(m->address[v] == address && m->data[v] == data);
    m->seen[v]++;
}

static bool may_send(const struct model *m, unsigned v)
{
    return m->enabled && !m->masked && !(m->table[16 * v + CONTROL] & 1);
}

static void settle(struct model *m)
{
    for (unsigned v = 0; v < VECTORS; v++) {
        if (!may_send(m, v) || !(m->pending >> v & 1))
            continue;
        m->pending = (uint8_t)(m->pending & ~(1u << v));
        m->sent[v]++;
    }
}

static void check(struct model *m)
{
    for (unsigned i = 0; i < BYTES; i++)
        MV_ASSERT(mv_msix_read_table(&m->msix, i, 1) == m->table[i]);
    MV_ASSERT(mv_msix_read_pending(&m->msix, 0, 8) == m->pending);
    MV_ASSERT(mv_msix_enabled(&m->msix) == m->enabled);
    for (unsigned v = 0; v < VECTORS; v++) {
        MV_ASSERT(m->sent[v] == m->seen[v]);
        if (!may_send(m, v))
            continue;
        MV_ASSERT(m->told[v] && m->address[v] == mv_load64(&m->table[16 * v]));
        MV_ASSERT(m->data[v] == mv_load32(&m->table[16 * v + 8]));
    }
}

static void do_write(struct model *m, uint64_t at, unsigned size, uint64_t value)
{
    static const uint8_t mask[16] = {0xfc, 255, 255, 255, 255, 255, 255, 255,
                                     255,  255, 255, 255, 1,   0,   0,   0};
    mv_msix_write_table(&m->msix, at, size, value);
    for (uint64_t i = at; i < at + size && i < BYTES; i++, value >>= 8)
        m->table[i] = (uint8_t)((m->table[i] & ~mask[i % 16]) | (value & mask[i % 16]));
}

static void do_control(struct model *m, bool enabled, bool masked)
{
    mv_msix_control(&m->msix, enabled, masked);
    m->enabled = enabled;
    m->masked = masked;
    if (!enabled)
        m->pending = 0;
}

static void do_signal(struct model *m, unsigned v)
{
    MV_ASSERT(mv_msix_signal(&m->msix, v) == m->enabled);
    if (m->enabled && v < VECTORS)
        m->pending |= (uint8_t)(1u << v);
}

static void open_table(struct model *m)
{
    const struct mv_msix_host host = {on_send, on_changed, m};
    int rc = mv_msix_open(&m->msix, VECTORS, &host, NULL);
    MV_ASSERT(rc == 0);
    memset(m->told, 0, sizeof m->told);
}

/* Where a damaged state is accepted, the model takes over what it made. */
static void do_move(struct model *m, struct fuzz *in)
{
    struct mv_writer w;
    uint8_t damage = fuzz8(in);
    mv_writer_open(&w, 512);
    mv_msix_save(&m->msix, &w);
    MV_ASSERT(!w.failed);
    mv_msix_close(&m->msix);
    open_table(m);
    if (damage & 1)
        w.data[fuzz8(in) % w.length] = fuzz8(in);
    struct mv_reader r = {.data = w.data, .length = w.length - (damage & 2 ? 1 : 0)};
    int rc = mv_msix_load(&m->msix, &r, NULL);
    mv_writer_close(&w);
    MV_ASSERT((rc == 0) == !(damage & 2) || damage & 1);
    if (rc != 0 || damage & 1) {
        for (unsigned i = 0; i < BYTES; i++)
            m->table[i] = (uint8_t)mv_msix_read_table(&m->msix, i, 1);
        m->pending = (uint8_t)mv_msix_read_pending(&m->msix, 0, 1);
        MV_ASSERT(m->pending < 1u << VECTORS);
    }
    mv_msix_control(&m->msix, true, true); /* keeps what is pending */
    do_control(m, m->enabled, m->masked);
}

static void step(struct model *m, struct fuzz *in)
{
    uint8_t op = fuzz8(in), v = op / 8 % 8;
    unsigned size = 1u << (op >> 6);
    switch (op % 8) {
    case 0:
        do_write(m, fuzz8(in), size, fuzz64(in) & mv_size_mask(size));
        break;
    case 1: /* as drivers do */
        do_write(m, 16ull * v + CONTROL, 4, op >> 7);
        break;
    case 2:
        do_write(m, 16ull * v + (op & 64 ? 8u : 0u), 4, fuzz8(in));
        break;
    case 3:
    case 4:
        do_signal(m, v == 7 ? 0xffff : v);
        break;
    case 5:
        do_control(m, true, v & 1);
        break;
    case 6:
        if (op & 64)
            do_control(m, v & 1, v & 2);
        else
            do_move(m, in);
        break;
    case 7:
        mv_msix_forget(&m->msix);
        m->pending = 0;
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct fuzz in = {data, length};
    struct model m = {.enabled = false};
    open_table(&m);
    for (unsigned v = 0; v < VECTORS; v++)
        m.table[16 * v + CONTROL] = 1;
    for (unsigned i = 0; i < 400 && fuzz_left(&in); i++) {
        step(&m, &in);
        settle(&m);
        check(&m);
    }
    mv_msix_close(&m.msix);
    return 0;
}
