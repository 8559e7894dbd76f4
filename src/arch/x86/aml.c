/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AML encoding. The length of an object stands before it and counts itself; three bytes
 * are always taken for it (ACPI 6.4, 20.2.4, allows any of the forms that hold the
 * number), so that it can be filled in at the end without moving what was written.
 */
#include "arch/x86/aml.h"

#include "util/assert.h"
#include "util/bytes.h"

enum {
    AML_NAME_OP = 0x08,
    AML_BYTE_PREFIX = 0x0a,
    AML_DWORD_PREFIX = 0x0c,
    AML_STRING_PREFIX = 0x0d,
    AML_SCOPE_OP = 0x10,
    AML_BUFFER_OP = 0x11,
    AML_PACKAGE_OP = 0x12,
    AML_METHOD_OP = 0x14,
    AML_EXT_PREFIX = 0x5b,
    AML_EXT_REGION = 0x80,
    AML_EXT_FIELD = 0x81,
    AML_EXT_DEVICE = 0x82,
    AML_LOCAL0 = 0x60,
    AML_STORE_OP = 0x70,
    AML_AND_OP = 0x7b,
    AML_NOTIFY_OP = 0x86,
    AML_IF_OP = 0xa0,

    AML_METHOD_SERIALIZED = 1 << 3,
    AML_SPACE_MEMORY = 0,
    AML_FIELD_DWORD_ZEROS = 0x43, /* DWordAcc, NoLock, WriteAsZeros */
    AML_LENGTH_BYTES = 3,

    /* Resource descriptors, ACPI 6.4, 6.4.2 and 6.4.3. */
    RES_IO = 0x47,
    RES_IO_DECODE_16 = 1,
    RES_END = 0x79,
    RES_MEMORY32_FIXED = 0x86,
    RES_SPACE32 = 0x87,
    RES_SPACE16 = 0x88,
    RES_INTERRUPT = 0x89,
    RES_SPACE64 = 0x8a,
    RES_CONSUMER_EDGE_HIGH = 0x03,
    RES_MEMORY = 0, /* types of address space */
    RES_BUS_NUMBERS = 2,
    RES_PRODUCER_FIXED = 0x0c, /* both ends, 6.4.3.5 */
    RES_READ_WRITE = 0x01      /* and not cacheable */
};

static void aml_byte(struct mv_aml *aml, unsigned value)
{
    if (aml->length < aml->size)
        aml->data[aml->length++] = (uint8_t)value;
    else
        aml->failed = true;
}

static void aml_word(struct mv_aml *aml, unsigned value)
{
    aml_byte(aml, value & 0xff);
    aml_byte(aml, value >> 8 & 0xff);
}

static void aml_dword(struct mv_aml *aml, uint32_t value)
{
    aml_word(aml, value & 0xffff);
    aml_word(aml, value >> 16);
}

static void aml_qword(struct mv_aml *aml, uint64_t value)
{
    aml_dword(aml, (uint32_t)value);
    aml_dword(aml, (uint32_t)(value >> 32));
}

static void aml_text(struct mv_aml *aml, const char *text)
{
    for (; *text; text++)
        aml_byte(aml, (uint8_t)*text);
}

/* Leaves room for the length of the object that begins. */
static void aml_begin(struct mv_aml *aml)
{
    MV_ASSERT(aml->depth < MV_AML_DEPTH_MAX);
    aml->open[aml->depth++] = aml->length;
    for (unsigned i = 0; i < AML_LENGTH_BYTES; i++)
        aml_byte(aml, 0);
}

void mv_aml_end(struct mv_aml *aml)
{
    MV_ASSERT(aml->depth > 0);
    size_t start = aml->open[--aml->depth];
    if (aml->failed)
        return;
    size_t length = aml->length - start;
    MV_ASSERT(length < 1u << 20);
    /* 20.2.4: bits 7-6 count the bytes that follow, 3-0 are the low four bits. */
    aml->data[start] = (uint8_t)((AML_LENGTH_BYTES - 1) << 6 | (length & 0xf));
    aml->data[start + 1] = (uint8_t)(length >> 4);
    aml->data[start + 2] = (uint8_t)(length >> 12);
}

void mv_aml_scope(struct mv_aml *aml, const char *name)
{
    aml_byte(aml, AML_SCOPE_OP);
    aml_begin(aml);
    aml_text(aml, name);
}

void mv_aml_device(struct mv_aml *aml, const char *name)
{
    aml_byte(aml, AML_EXT_PREFIX);
    aml_byte(aml, AML_EXT_DEVICE);
    aml_begin(aml);
    aml_text(aml, name);
}

void mv_aml_method(struct mv_aml *aml, const char *name, unsigned arguments)
{
    aml_byte(aml, AML_METHOD_OP);
    aml_begin(aml);
    aml_text(aml, name);
    aml_byte(aml, arguments | AML_METHOD_SERIALIZED);
}

void mv_aml_package(struct mv_aml *aml, uint8_t elements)
{
    aml_byte(aml, AML_PACKAGE_OP);
    aml_begin(aml);
    aml_byte(aml, elements);
}

void mv_aml_if_local0(struct mv_aml *aml, uint32_t mask)
{
    aml_byte(aml, AML_IF_OP);
    aml_begin(aml);
    aml_byte(aml, AML_AND_OP);
    aml_byte(aml, AML_LOCAL0);
    mv_aml_integer(aml, mask);
    aml_byte(aml, 0); /* no target */
}

void mv_aml_name(struct mv_aml *aml, const char *name)
{
    aml_byte(aml, AML_NAME_OP);
    aml_text(aml, name);
}

void mv_aml_integer(struct mv_aml *aml, uint32_t value)
{
    if (value <= 1) {
        aml_byte(aml, value); /* ZeroOp, OneOp */
    } else if (value <= 0xff) {
        aml_byte(aml, AML_BYTE_PREFIX);
        aml_byte(aml, value);
    } else {
        aml_byte(aml, AML_DWORD_PREFIX);
        aml_dword(aml, value);
    }
}

void mv_aml_string(struct mv_aml *aml, const char *text)
{
    aml_byte(aml, AML_STRING_PREFIX);
    aml_text(aml, text);
    aml_byte(aml, 0);
}

static uint32_t aml_hex(char digit)
{
    return (uint32_t)(digit <= '9' ? digit - '0' : digit - 'A' + 10);
}

/* 19.3.4: three letters of 5 bits, four hexadecimal digits, most significant first. */
void mv_aml_eisa_id(struct mv_aml *aml, const char *id)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 3; i++)
        value = value << 5 | ((uint32_t)id[i] & 0x1f);
    for (unsigned i = 3; i < 7; i++)
        value = value << 4 | aml_hex(id[i]);
    aml_byte(aml, AML_DWORD_PREFIX);
    aml_dword(aml, __builtin_bswap32(value));
}

void mv_aml_register32(struct mv_aml *aml, const char *name, const char *field,
                       uint32_t address)
{
    aml_byte(aml, AML_EXT_PREFIX);
    aml_byte(aml, AML_EXT_REGION);
    aml_text(aml, name);
    aml_byte(aml, AML_SPACE_MEMORY);
    mv_aml_integer(aml, address);
    mv_aml_integer(aml, 4);
    aml_byte(aml, AML_EXT_PREFIX);
    aml_byte(aml, AML_EXT_FIELD);
    aml_begin(aml);
    aml_text(aml, name);
    aml_byte(aml, AML_FIELD_DWORD_ZEROS);
    aml_text(aml, field);
    aml_byte(aml, 32); /* bits, in the form of a length of one byte */
    mv_aml_end(aml);
}

void mv_aml_store_local0(struct mv_aml *aml, const char *name)
{
    aml_byte(aml, AML_STORE_OP);
    aml_text(aml, name);
    aml_byte(aml, AML_LOCAL0);
}

void mv_aml_notify(struct mv_aml *aml, const char *object, uint8_t value)
{
    aml_byte(aml, AML_NOTIFY_OP);
    aml_text(aml, object);
    mv_aml_integer(aml, value);
}

/* A buffer: its length, then its size as a number of one byte that is filled in
 * afterwards. */
void mv_aml_resources(struct mv_aml *aml)
{
    aml_byte(aml, AML_BUFFER_OP);
    aml_begin(aml);
    aml_byte(aml, AML_BYTE_PREFIX);
    aml->resources = aml->length;
    aml_byte(aml, 0);
}

void mv_aml_resources_end(struct mv_aml *aml)
{
    aml_byte(aml, RES_END);
    aml_byte(aml, 0); /* no checksum */
    if (!aml->failed) {
        size_t bytes = aml->length - aml->resources - 1;
        MV_ASSERT(bytes <= 0xff);
        aml->data[aml->resources] = (uint8_t)bytes;
    }
    mv_aml_end(aml);
}

void mv_aml_io(struct mv_aml *aml, uint16_t port, uint8_t length)
{
    aml_byte(aml, RES_IO);
    aml_byte(aml, RES_IO_DECODE_16);
    aml_word(aml, port); /* minimum, maximum, alignment, length */
    aml_word(aml, port);
    aml_byte(aml, 1);
    aml_byte(aml, length);
}

void mv_aml_memory32(struct mv_aml *aml, uint32_t address, uint32_t length)
{
    aml_byte(aml, RES_MEMORY32_FIXED);
    aml_word(aml, 9); /* bytes that follow */
    aml_byte(aml, 1); /* writable */
    aml_dword(aml, address);
    aml_dword(aml, length);
}

void mv_aml_interrupt(struct mv_aml *aml, uint32_t gsi)
{
    aml_byte(aml, RES_INTERRUPT);
    aml_word(aml, 6);
    aml_byte(aml, RES_CONSUMER_EDGE_HIGH);
    aml_byte(aml, 1); /* one interrupt */
    aml_dword(aml, gsi);
}

/* The head of an address space descriptor with five numbers of `width` bytes: 6.4.3.5.
 */
static void aml_space(struct mv_aml *aml, uint8_t tag, unsigned width, uint8_t type,
                      uint8_t flags)
{
    aml_byte(aml, tag);
    aml_word(aml, 3 + 5 * width);
    aml_byte(aml, type);
    aml_byte(aml, RES_PRODUCER_FIXED);
    aml_byte(aml, flags);
}

/* Granularity, minimum, maximum, translation, length. */
void mv_aml_bus_numbers(struct mv_aml *aml, uint16_t first, uint16_t last)
{
    aml_space(aml, RES_SPACE16, 2, RES_BUS_NUMBERS, 0);
    aml_word(aml, 0);
    aml_word(aml, first);
    aml_word(aml, last);
    aml_word(aml, 0);
    aml_word(aml, last - first + 1u);
}

void mv_aml_window32(struct mv_aml *aml, uint32_t address, uint32_t length)
{
    aml_space(aml, RES_SPACE32, 4, RES_MEMORY, RES_READ_WRITE);
    aml_dword(aml, 0);
    aml_dword(aml, address);
    aml_dword(aml, address + (length - 1));
    aml_dword(aml, 0);
    aml_dword(aml, length);
}

void mv_aml_window64(struct mv_aml *aml, uint64_t address, uint64_t length)
{
    aml_space(aml, RES_SPACE64, 8, RES_MEMORY, RES_READ_WRITE);
    aml_qword(aml, 0);
    aml_qword(aml, address);
    aml_qword(aml, address + (length - 1));
    aml_qword(aml, 0);
    aml_qword(aml, length);
}
