/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The part of file access that is the same everywhere: carrying on after short
 * transfers and interruptions, choosing between the direct and the cached handle, and
 * the ways to zero a range, cheapest first.
 */
#include "os/file_sys.h"

#include "util/bytes.h"

#include <errno.h>
#include <uv.h>

enum { WINDOW_SPANS = 64, SPANS_MOST = 1024 /* IOV_MAX of Linux and macOS */ };
static const uint64_t WINDOW_BYTES = 1u << 30; /* macOS and Windows move < 2 GiB */

typedef int64_t move_fn(intptr_t handle, uint64_t offset, const struct mv_span *span,
                        unsigned spans);

struct window {
    struct mv_span span[WINDOW_SPANS];
    unsigned spans;
    uint64_t bytes;
};

/* The next piece of the spans to be moved, after their first `skip` bytes. */
static void window_fill(struct window *w, const struct mv_span *span, unsigned spans,
                        uint64_t skip)
{
    w->spans = 0;
    w->bytes = 0;
    for (unsigned i = 0; i < spans && w->spans < WINDOW_SPANS; i++) {
        if (skip >= span[i].length) {
            skip -= span[i].length;
            continue;
        }
        uint64_t length = MV_MIN(span[i].length - skip, WINDOW_BYTES - w->bytes);
        w->span[w->spans++] =
            (struct mv_span){(uint8_t *)span[i].base + skip, (size_t)length};
        w->bytes += length;
        skip = 0;
        if (w->bytes == WINDOW_BYTES)
            break;
    }
}

intptr_t mv_file_handle(const struct mv_file *file, uint64_t offset,
                        const struct mv_span *span, unsigned spans)
{
    if (file->direct == -1)
        return file->handle;
    uint64_t bits = offset;
    for (unsigned i = 0; i < spans; i++)
        bits |= (uintptr_t)span[i].base | span[i].length;
    return bits & (file->align_bytes - 1) ? file->handle : file->direct;
}

/* Whether the system takes the spans as they are. */
static bool file_takes(const struct mv_span *span, unsigned spans)
{
    uint64_t bytes = 0;
    if (spans == 0 || spans > SPANS_MOST)
        return false;
    for (unsigned i = 0; i < spans; i++)
        bytes += MV_MIN(span[i].length, WINDOW_BYTES + 1);
    return bytes <= WINDOW_BYTES;
}

static int64_t file_move(const struct mv_file *file, move_fn *move, uint64_t offset,
                         const struct mv_span *span, unsigned spans, uint64_t skip)
{
    uint64_t moved = skip;
    struct window w;
    if (skip == 0 && file_takes(span, spans)) {
        int64_t n =
            move(mv_file_handle(file, offset, span, spans), offset, span, spans);
        if (n <= 0 && n != UV_EINTR)
            return n;
        moved = n > 0 ? (uint64_t)n : 0;
    }
    for (;;) {
        window_fill(&w, span, spans, moved);
        if (!w.spans)
            return (int64_t)moved;
        uint64_t at = offset + moved;
        int64_t n =
            move(mv_file_handle(file, at, w.span, w.spans), at, w.span, w.spans);
        if (n == UV_EINTR)
            continue;
        if (n < 0)
            return n;
        if (n == 0)
            return (int64_t)moved;
        moved += (uint64_t)n;
    }
}

int64_t mv_file_readv(const struct mv_file *file, uint64_t offset,
                      const struct mv_span *span, unsigned spans, uint64_t skip)
{
    return file_move(file, mv_file_sys_readv, offset, span, spans, skip);
}

int64_t mv_file_writev(const struct mv_file *file, uint64_t offset,
                       const struct mv_span *span, unsigned spans, uint64_t skip)
{
    return file_move(file, mv_file_sys_writev, offset, span, spans, skip);
}

int64_t mv_file_read(const struct mv_file *file, uint64_t offset, void *data,
                     size_t length)
{
    struct mv_span span = {data, length};
    int64_t n = mv_file_readv(file, offset, &span, 1, 0);
    if (n >= 0)
        return n;
#ifndef _WIN32
    errno = (int)-n; /* Windows still has its last error */
#endif
    return -1;
}

int mv_file_flush(const struct mv_file *file)
{
    int rc;
    do {
        rc = mv_file_sys_flush(file->handle);
    } while (rc == UV_EINTR);
    return rc;
}

/* Not there for this file, or not for this alignment: another way may do. */
static bool file_try_next(int rc)
{
    return rc == UV_ENOTSUP || rc == UV_EINVAL || rc == UV_ENOSYS;
}

int mv_file_discard(const struct mv_file *file, uint64_t offset, uint64_t length)
{
    int rc;
    if (!file->can_discard)
        return 0;
    do {
        rc = mv_file_sys_discard(file, offset, length);
    } while (rc == UV_EINTR);
    return file_try_next(rc) ? 0 : rc;
}

static int file_write_zeros(const struct mv_file *file, uint64_t offset,
                            uint64_t length)
{
    static const uint8_t zeros[4096];
    struct mv_span span[WINDOW_SPANS];
    while (length) {
        unsigned spans = 0;
        uint64_t bytes = 0;
        for (; spans < WINDOW_SPANS && bytes < length; spans++) {
            uint64_t piece = MV_MIN(length - bytes, sizeof zeros);
            span[spans].base = (void *)(uintptr_t)zeros; /* only read from */
            span[spans].length = (size_t)piece;
            bytes += piece;
        }
        int64_t n = mv_file_writev(file, offset, span, spans, 0);
        if (n < 0)
            return (int)n;
        if ((uint64_t)n < bytes)
            return UV_EIO;
        offset += bytes;
        length -= bytes;
    }
    return 0;
}

int mv_file_zero(const struct mv_file *file, uint64_t offset, uint64_t length,
                 bool may_unmap)
{
    int rc = UV_ENOTSUP;
    if (may_unmap)
        rc = mv_file_sys_punch(file, offset, length);
    if (file_try_next(rc))
        rc = mv_file_sys_zero(file, offset, length);
    if (file_try_next(rc) || rc == UV_EINTR)
        rc = file_write_zeros(file, offset, length);
    return rc;
}
