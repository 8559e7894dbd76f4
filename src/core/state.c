/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Writing and reading saved state. A state comes from a file and may be anything: the
 * reader believes no length before it has compared it with what is there, and no
 * payload before its checksum.
 */
#include "core/state.h"

#include "util/assert.h"
#include "util/bytes.h"
#include "util/crc32.h"

#include <stdlib.h>

enum {
    STATE_HEADER_BYTES = 16, /* type, instance, version, length */
    STATE_LENGTH_AT = 12,
    STATE_CRC_BYTES = 4,
    STATE_FIRST_BYTES = 4096 /* most states fit after one or two doublings */
};

static const size_t STATE_NO_SECTION = SIZE_MAX;

void mv_writer_open(struct mv_writer *w, size_t length_max)
{
    *w = (struct mv_writer){.length_max = length_max, .section = STATE_NO_SECTION};
}

void mv_writer_close(struct mv_writer *w)
{
    free(w->data);
    mv_writer_open(w, 0);
}

/* `length` more bytes to write to, or NULL: then the writer has failed. */
static uint8_t *writer_extend(struct mv_writer *w, size_t length)
{
    if (w->failed || length > w->length_max - w->length) {
        w->failed = true;
        return NULL;
    }
    if (length > w->capacity - w->length) {
        size_t doubled = MV_MAX(w->capacity, STATE_FIRST_BYTES / 2) * 2;
        size_t capacity = MV_MIN(MV_MAX(doubled, w->length + length), w->length_max);
        uint8_t *data = realloc(w->data, capacity);
        if (!data) {
            w->failed = true;
            return NULL;
        }
        w->data = data;
        w->capacity = capacity;
    }
    uint8_t *at = w->data + w->length;
    w->length += length;
    return at;
}

void mv_put_bytes(struct mv_writer *w, const void *data, size_t length)
{
    uint8_t *at = length > 0 ? writer_extend(w, length) : NULL;
    if (at)
        memcpy(at, data, length);
}

void mv_put8(struct mv_writer *w, uint8_t v)
{
    mv_put_bytes(w, &v, sizeof v);
}

void mv_put16(struct mv_writer *w, uint16_t v)
{
    mv_put_bytes(w, &v, sizeof v);
}

void mv_put32(struct mv_writer *w, uint32_t v)
{
    mv_put_bytes(w, &v, sizeof v);
}

void mv_put64(struct mv_writer *w, uint64_t v)
{
    mv_put_bytes(w, &v, sizeof v);
}

void mv_writer_begin(struct mv_writer *w, uint32_t type, uint32_t instance,
                     uint32_t version)
{
    MV_ASSERT(w->section == STATE_NO_SECTION);
    w->section = w->length;
    mv_put32(w, type);
    mv_put32(w, instance);
    mv_put32(w, version);
    mv_put32(w, 0); /* the length, known at the end */
}

void mv_writer_end(struct mv_writer *w)
{
    size_t section = w->section;
    MV_ASSERT(section != STATE_NO_SECTION);
    w->section = STATE_NO_SECTION;
    if (w->failed)
        return;
    size_t length = w->length - section - STATE_HEADER_BYTES;
    if (length > UINT32_MAX) {
        w->failed = true;
        return;
    }
    mv_store32(w->data + section + STATE_LENGTH_AT, (uint32_t)length);
    mv_put32(w, mv_crc32(0, w->data + section, w->length - section));
}

/* `length` bytes to read, or NULL: then the reader has failed and is at its end. */
static const uint8_t *reader_take(struct mv_reader *r, size_t length)
{
    if (r->failed || length > r->length - r->at) {
        r->failed = true;
        r->at = r->length;
        return NULL;
    }
    const uint8_t *at = r->data + r->at;
    r->at += length;
    return at;
}

void mv_get_bytes(struct mv_reader *r, void *to, size_t length)
{
    if (length == 0)
        return;
    const uint8_t *at = reader_take(r, length);
    if (at)
        memcpy(to, at, length);
    else
        memset(to, 0, length);
}

uint8_t mv_get8(struct mv_reader *r)
{
    uint8_t v;
    mv_get_bytes(r, &v, sizeof v);
    return v;
}

uint16_t mv_get16(struct mv_reader *r)
{
    uint16_t v;
    mv_get_bytes(r, &v, sizeof v);
    return v;
}

uint32_t mv_get32(struct mv_reader *r)
{
    uint32_t v;
    mv_get_bytes(r, &v, sizeof v);
    return v;
}

uint64_t mv_get64(struct mv_reader *r)
{
    uint64_t v;
    mv_get_bytes(r, &v, sizeof v);
    return v;
}

bool mv_reader_done(const struct mv_reader *r)
{
    return !r->failed && r->at == r->length;
}

int mv_reader_check(const struct mv_reader *r, const char *part, uint32_t version,
                    uint32_t version_read, microvm_error *err)
{
    if (version != version_read)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: %s: has format %u, this library reads format %u: "
                       "load it with the version that saved it",
                       part, version, version_read);
    if (!mv_reader_done(r))
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: %s: %zu bytes are %s: the state is not from this "
                       "library",
                       part, r->length, r->failed ? "too few" : "too many");
    return 0;
}

int mv_reader_section(struct mv_reader *from, struct mv_section *section,
                      struct mv_reader *payload, microvm_error *err)
{
    const size_t start = from->at, left = from->length - start;
    if (left == 0 && !from->failed)
        return 0;
    if (left < STATE_HEADER_BYTES + STATE_CRC_BYTES)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: ends in the middle of a section, at byte %zu: the "
                       "file is cut short; save again",
                       from->length);
    const uint8_t *header = from->data + start;
    const size_t length = mv_load32(header + STATE_LENGTH_AT);
    if (length > left - STATE_HEADER_BYTES - STATE_CRC_BYTES)
        return mv_fail(
            err, MICROVM_E_INVALID,
            "saved state: the section at byte %zu says it has %zu bytes, but "
            "only %zu follow: the file is cut short or damaged; save again",
            start, length, left - STATE_HEADER_BYTES - STATE_CRC_BYTES);
    const uint8_t *end = header + STATE_HEADER_BYTES + length;
    uint32_t found = mv_crc32(0, header, STATE_HEADER_BYTES + length);
    if (mv_load32(end) != found)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: the section at byte %zu has checksum %08x instead "
                       "of %08x: the file is damaged; save again",
                       start, found, mv_load32(end));
    section->type = mv_load32(header);
    section->instance = mv_load32(header + 4);
    section->version = mv_load32(header + 8);
    *payload =
        (struct mv_reader){.data = header + STATE_HEADER_BYTES, .length = length};
    from->at = start + STATE_HEADER_BYTES + length + STATE_CRC_BYTES;
    return 1;
}
