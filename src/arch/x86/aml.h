/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A small encoder of AML, the byte code of ACPI's differentiated description (ACPI 6.4,
 * chapter 20): names, numbers, strings, packages, devices, methods, resource templates
 * as far as acpi.c uses them. It writes into memory that the caller gives and remembers
 * when that was too small, so that a table is one straight line of calls with one check
 * at its end.
 */
#ifndef MV_ARCH_X86_AML_H
#define MV_ARCH_X86_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MV_AML_DEPTH_MAX = 8 };

struct mv_aml {
    uint8_t *data;
    size_t length, size;
    size_t open[MV_AML_DEPTH_MAX]; /* where the length of each open object goes */
    unsigned depth;
    size_t resources; /* where the size of the open resource template goes */
    bool failed;      /* it did not fit */
};

/* Objects that contain others; each is ended by mv_aml_end. Names have 4 letters; a
 * scope's may begin with the root, "\\_SB_". */
void mv_aml_scope(struct mv_aml *aml, const char *name);
void mv_aml_device(struct mv_aml *aml, const char *name);
void mv_aml_method(struct mv_aml *aml, const char *name, unsigned arguments);
void mv_aml_package(struct mv_aml *aml, uint8_t elements);
/* If (Local0 & mask) */
void mv_aml_if_local0(struct mv_aml *aml, uint32_t mask);
void mv_aml_end(struct mv_aml *aml);

/* Name (NAME, ...): the value follows, by the next call. */
void mv_aml_name(struct mv_aml *aml, const char *name);
void mv_aml_integer(struct mv_aml *aml, uint32_t value);
void mv_aml_string(struct mv_aml *aml, const char *text);
/* A compressed id such as "PNP0501". */
void mv_aml_eisa_id(struct mv_aml *aml, const char *id);

/* A 32-bit register in memory: region NAME, whose one field is `field`. */
void mv_aml_register32(struct mv_aml *aml, const char *name, const char *field,
                       uint32_t address);
/* Local0 = name */
void mv_aml_store_local0(struct mv_aml *aml, const char *name);
/* Notify (object, value); object is a name in the scope around. */
void mv_aml_notify(struct mv_aml *aml, const char *object, uint8_t value);

/* ResourceTemplate () { ... }: the value of a _CRS, ended by _resources_end. */
void mv_aml_resources(struct mv_aml *aml);
void mv_aml_io(struct mv_aml *aml, uint16_t port, uint8_t length);
void mv_aml_memory32(struct mv_aml *aml, uint32_t address, uint32_t length);
/* Edge-triggered, active high, exclusive. */
void mv_aml_interrupt(struct mv_aml *aml, uint32_t gsi);
/* What a bridge hands on to those behind it: bus numbers, windows of memory. */
void mv_aml_bus_numbers(struct mv_aml *aml, uint16_t first, uint16_t last);
void mv_aml_window32(struct mv_aml *aml, uint32_t address, uint32_t length);
void mv_aml_window64(struct mv_aml *aml, uint64_t address, uint64_t length);
void mv_aml_resources_end(struct mv_aml *aml);

#endif
