/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The block device under a hostile driver, over a disk in memory that checks every
 * request it is given (inside the disk, spans inside guest memory, no more under way
 * than the queue has), answers at once, later, or in reverse, and fails some.
 */
#include "vfuzz.h"

#include "backing/disk.h"
#include "virtio/devices.h"

enum { SECTORS = 64, IMAGE_BYTES = SECTORS * 512, QUEUE_SIZE = 512 };

/* How the disk answers; from the input. */
enum { IN_COMMIT = 1, FAILS = 2, REVERSED = 4 };

struct memory_disk {
    struct mv_disk disk;
    struct mv_disk_request *waiting;
    unsigned count;
    uint8_t how;
    struct vrig *rig;
    struct mv_call later;
    uint8_t image[IMAGE_BYTES];
};

static struct memory_disk *memory_disk(struct mv_disk *disk)
{
    return MV_CONTAINER(disk, struct memory_disk, disk);
}

static void memory_check(const struct memory_disk *m, const struct mv_disk_request *r)
{
    uint64_t length = 0;
    if (r->op == MV_DISK_FLUSH)
        return;
    MV_ASSERT(mv_inside(r->offset, r->length, 0, IMAGE_BYTES));
    MV_ASSERT(r->offset % 512 == 0 && r->length % 512 == 0);
    if (r->op == MV_DISK_DISCARD || r->op == MV_DISK_ZERO) {
        MV_ASSERT(r->length > 0);
        return;
    }
    const uint8_t *ram = m->rig->ram.base;
    for (unsigned i = 0; i < r->spans; i++) {
        const uint8_t *base = r->span[i].base;
        MV_ASSERT(base >= ram && r->span[i].length > 0);
        MV_ASSERT(mv_inside((uint64_t)(base - ram), r->span[i].length, 0,
                            m->rig->ram.size_bytes));
        length += r->span[i].length;
    }
    MV_ASSERT(length == r->length);
}

static void memory_move(struct memory_disk *m, const struct mv_disk_request *r)
{
    uint8_t *at = m->image + r->offset;
    if (r->op == MV_DISK_ZERO || r->op == MV_DISK_DISCARD)
        memset(at, 0, r->length);
    for (unsigned i = 0; i < r->spans; i++) {
        if (r->op == MV_DISK_READ)
            memcpy(r->span[i].base, at, r->span[i].length);
        else
            memcpy(at, r->span[i].base, r->span[i].length);
        at += r->span[i].length;
    }
}

static void memory_submit(struct mv_disk *disk, struct mv_disk_request *request)
{
    struct memory_disk *m = memory_disk(disk);
    struct mv_disk_request **at = &m->waiting;
    memory_check(m, request);
    m->count++;
    MV_ASSERT(m->count <= QUEUE_SIZE);
    while (*at && !(m->how & REVERSED))
        at = &(*at)->next;
    request->next = *at;
    *at = request;
}

/* done may submit the next step of the same request. */
static void memory_drain(struct mv_disk *disk)
{
    struct memory_disk *m = memory_disk(disk);
    bool any = false;
    for (; m->waiting; any = true) {
        struct mv_disk_request *request = m->waiting;
        bool fails = m->how & FAILS && request->offset / 512 % 3 == 1;
        m->waiting = request->next;
        m->count--;
        if (!fails)
            memory_move(m, request);
        request->done(request, fails ? UV_EIO : 0);
    }
    if (any)
        disk->completed(disk->owner);
}

static void memory_later(void *arg)
{
    memory_drain(arg);
}

static void memory_commit(struct mv_disk *disk)
{
    struct memory_disk *m = memory_disk(disk);
    if (m->how & IN_COMMIT)
        memory_drain(disk);
    else if (m->waiting)
        mv_loop_post(&m->rig->loop, &m->later);
}

static void memory_close(struct mv_disk *disk)
{
    MV_ASSERT(memory_disk(disk)->count == 0);
}

static const struct mv_disk_ops memory_ops = {.name = "memory",
                                              .submit = memory_submit,
                                              .commit = memory_commit,
                                              .drain = memory_drain,
                                              .close = memory_close};

/* A request as drivers make them, a little wrong here and there. */
static void request(struct vrig *rig, struct fuzz *in)
{
    static const uint8_t types[] = {0, 1, 4, 8, 11, 13, 0, 1};
    struct vdriver_queue *vq = &rig->driver.queue[rig->driver.queues - 1];
    struct vdriver_buffer buffer[] = {{VFUZZ_DATA, 16, false},
                                      {VFUZZ_DATA + 0x100, 0, true},
                                      {VFUZZ_DATA + 16, 1, true}};
    uint8_t type = fuzz8(in), sector = fuzz8(in), length = fuzz8(in);
    uint8_t *header = vrig_at(rig, VFUZZ_DATA, 0x200);
    uint8_t code = type & 0x80 ? type : types[type % MV_ARRAY_LEN(types)];
    mv_store32(header, code);
    mv_store64(header + 8, sector % (SECTORS + 4u) - (uint64_t)(sector == 255));
    buffer[1].length = 1 + (code < 2 ? length % 32u * 512 - 1 : length);
    if (length == 0xff)
        buffer[1].length = fuzz16(in) + 1u;
    buffer[1].write = code == 0 || code == 8;
    if (code == 11 || code == 13) {
        mv_store64(header + 0x100, sector % (SECTORS + 2u));
        mv_store32(header + 0x108, fuzz8(in) % 8u);
        mv_store32(header + 0x10c, fuzz8(in) % 4u);
        buffer[1].length = 16u * (1 + length % 18u);
    }
    if (vq->free < 3 || buffer[1].length == 0)
        return;
    (void)vdriver_add(vq, buffer, 3);
}

static void check(struct vrig *rig, struct memory_disk *m)
{
    uint16_t head;
    uint32_t written;
    m->how = IN_COMMIT;
    vfuzz_start(rig, UINT64_MAX);
    MV_ASSERT(m->count == 0);
    memset(m->image, 0x3c, sizeof m->image);
    const struct vdriver_buffer buffer[] = {{VFUZZ_DATA, 16, false},
                                            {VFUZZ_DATA + 0x100, 1025, true}};
    uint8_t *p = vrig_at(rig, VFUZZ_DATA, 0x600);
    memset(p, 0, 0x600);
    mv_store64(p + 8, SECTORS - 2);
    (void)vdriver_add(&rig->driver.queue[0], buffer, 2);
    vdriver_kick(&rig->driver, 0);
    vrig_turn(rig);
    MV_ASSERT(vdriver_reap(&rig->driver.queue[0], &head, &written) && written == 1025);
    MV_ASSERT(p[0x100] == 0x3c && p[0x4ff] == 0x3c && p[0x500] == 0);
}

static void open_once(struct vrig *rig, struct memory_disk *m)
{
    struct mv_vdev *dev = NULL;
    m->rig = rig;
    m->later = (struct mv_call){.fn = memory_later, .arg = &m->disk};
    m->disk.ops = &memory_ops;
    m->disk.size_bytes = IMAGE_BYTES;
    m->disk.block_bytes = 4096;
    m->disk.can_discard = true;
    int rc = mv_blk_open(&rig->host, &m->disk, "fuzz", 2, &dev, NULL);
    MV_ASSERT(rc == 0);
    vrig_attach(rig, dev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct vrig rigs[VRIG_TRANSPORTS]; /* opened once: a reset makes it new */
    static struct memory_disk memories[VRIG_TRANSPORTS];
    struct vrig *rig = vfuzz_rig(rigs, length);
    struct memory_disk *memory = &memories[rig->transport];
    struct fuzz in = {data, length};
    if (!rig->dev)
        open_once(rig, memory);
    memory->how = fuzz8(&in);
    vfuzz_start(rig, UINT64_MAX);
    for (unsigned i = 0; i < VFUZZ_STEPS_MAX && fuzz_left(&in); i++) {
        uint8_t op = fuzz8(&in);
        if (op & 1)
            vfuzz_step(rig, &in);
        else if (op & 6)
            request(rig, &in);
        else if (op & 8)
            memory->how = fuzz8(&in);
        else
            vdriver_kick(&rig->driver, op / 16 % 2u);
    }
    check(rig, memory);
    return 0;
}
