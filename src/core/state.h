/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Saved state as sections of fixed-width little-endian fields, never a raw struct:
 *
 *     u32 type, u32 instance, u32 version, u32 length, payload, u32 crc32
 *
 * The checksum is of everything before it in its section.
 *
 * Writing cannot fail in the middle: a writer that runs out of memory or over its
 * ceiling remembers it, and the end of the save reports it once. Reading is the same
 * the other way round: a reader that hits the end of its section returns zeros and
 * remembers, so that loads are straight lines with one check at the end.
 */
#ifndef MV_CORE_STATE_H
#define MV_CORE_STATE_H

#include "util/err.h"

#include <stdbool.h>

struct mv_writer {
    uint8_t *data; /* malloc'd, the owner's to free by mv_writer_close */
    size_t length, capacity, length_max;
    size_t section; /* where the open section begins */
    bool failed;
};

void mv_writer_open(struct mv_writer *w, size_t length_max);
void mv_writer_close(struct mv_writer *w);
void mv_writer_begin(struct mv_writer *w, uint32_t type, uint32_t instance,
                     uint32_t version);
void mv_writer_end(struct mv_writer *w);
void mv_put8(struct mv_writer *w, uint8_t v);
void mv_put16(struct mv_writer *w, uint16_t v);
void mv_put32(struct mv_writer *w, uint32_t v);
void mv_put64(struct mv_writer *w, uint64_t v);
void mv_put_bytes(struct mv_writer *w, const void *data, size_t length);

struct mv_reader {
    const uint8_t *data; /* borrowed; of one section's payload after _section */
    size_t length, at;
    bool failed; /* something was asked for that was not there */
};

struct mv_section {
    uint32_t type, instance, version;
};

/* Takes the next section of `from` (a whole state): 1 one was read and `payload` reads
 * it, 0 the state ends here, negative it is damaged. */
int mv_reader_section(struct mv_reader *from, struct mv_section *section,
                      struct mv_reader *payload, microvm_error *err);
uint8_t mv_get8(struct mv_reader *r);
uint16_t mv_get16(struct mv_reader *r);
uint32_t mv_get32(struct mv_reader *r);
uint64_t mv_get64(struct mv_reader *r);
void mv_get_bytes(struct mv_reader *r, void *to, size_t length);

/* True when nothing was missing and nothing is left over. */
bool mv_reader_done(const struct mv_reader *r);

/* The check at the end of a load: that the section was of the version that was read and
 * that it was read exactly. The error names `part`, "serial port". */
int mv_reader_check(const struct mv_reader *r, const char *part, uint32_t version,
                    uint32_t version_read, microvm_error *err);

#endif
