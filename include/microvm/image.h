/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libmicrovm-image: root file systems for guests, made without root. A library of its
 * own, so that what it stands on (libcurl, libarchive, libcrypto, libsquashfs,
 * libext2fs) is linked only where images are made. The rules of microvm.h hold here:
 * errors, threads, ownership, growth.
 *
 *     microvm_recipe *recipe = microvm_recipe_new();
 *     microvm_recipe_set(recipe, "base", "tar:rootfs.tar.gz");
 *     microvm_recipe_set(recipe, "add-file", "daemon:/usr/bin/daemon:0755");
 *     microvm_recipe_set(recipe, "output", "guest.img");
 *     microvm_image_build(recipe, NULL, NULL, &err);
 *     microvm_recipe_free(recipe);
 *
 * The same inputs give the same bytes: no clock is asked, entries are sorted, files
 * of the host count with their content and mode alone (owner 0, time `epoch`).
 */
#ifndef MICROVM_IMAGE_H
#define MICROVM_IMAGE_H

#include <microvm/microvm.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- recipes ----------------------------------------------------------------------
 */

/* What to build. One thread at a time may use it. */
typedef struct microvm_recipe microvm_recipe;

/* NULL when the host has no memory for it. */
MICROVM_API microvm_recipe *microvm_recipe_new(void);
MICROVM_API void microvm_recipe_free(microvm_recipe *recipe);

/* Row `index` of the table of keys, NULL past its end: what the command line, JSON and
 * documentation of recipes are made of. Static storage. */
MICROVM_API const microvm_key *microvm_recipe_key(unsigned index);

/* Sets a key from text as on the command line; a repeatable one gains a value. The
 * first mistake sticks: microvm_image_build reports it. */
MICROVM_API void microvm_recipe_set(microvm_recipe *recipe, const char *key,
                                    const char *text);

/* Sets keys from a JSON object: strings, numbers where a key counts, lists of strings
 * for those that repeat. Strict: unknown keys and wrong types are errors. `source` is
 * the file's name for messages, or NULL. The mistake sticks, too. */
MICROVM_API int microvm_recipe_load_json(microvm_recipe *recipe, const char *source,
                                         const char *text, size_t length,
                                         microvm_error *err);

/*
 * Sets the keys that the recipe of a template says, and for a bundle its machine's
 * settings. The template is found as by microvm_config_load_template. Files of ours
 * that it puts into the image ("{vpnd}:/usr/sbin/vpnd") are looked for in `data`, a
 * list of folders that ends with NULL and of which the first that has one counts:
 * share/microvm and libexec/microvm, where they are installed. Of "{wg?}" there need be
 * none: the result of the build says which there were not. Keys that are set afterwards
 * win, those that repeat gain values. INVALID: there is none, it has no recipe, or a
 * file is not there. The mistake sticks, too.
 */
MICROVM_API int microvm_recipe_load_template(microvm_recipe *recipe, const char *name,
                                             const char *const *folders,
                                             const char *const *data,
                                             microvm_error *err);

/* ---- building ---------------------------------------------------------------------
 */

/*
 * Called now and then by what takes long, on the thread that called: `what` is being
 * done, `done` bytes of `total` (0: not known yet) are. Returns 0 to go on; anything
 * else ends the operation with MICROVM_E_CANCELLED, nothing half made being left.
 */
typedef int microvm_image_progress_fn(void *opaque, const char *what, uint64_t done,
                                      uint64_t total);

/*
 * What a command that the recipe runs in the image says: up to `length` bytes of its
 * standard output (stream 1) or standard error (2), on the thread that called.
 */
typedef void microvm_image_output_fn(void *opaque, int stream, const char *data,
                                     size_t length);

/*
 * Asks a program that keeps credentials, where docker's config.json names one
 * (credHelpers, credsStore): runs docker-credential-NAME with the argument "get" and
 * `server` as a line on its standard input, and puts what it prints into `answer`,
 * ended by a zero. Returns its exit status, or -1 when it could not be run. The library
 * itself starts no program of the user's.
 */
typedef int microvm_image_helper_fn(void *opaque, const char *name, const char *server,
                                    char *answer, size_t size);

/* How to build, none of which changes what is built. */
typedef struct microvm_image_options {
    uint32_t size;
    microvm_image_progress_fn *progress; /* or NULL */
    void *opaque;                        /* its first argument */
    const char *scratch;  /* folder for contents meanwhile (as many bytes as the files
                             have); NULL: the output's */
    uint64_t bytes_max;   /* of all files together; 0: 16 GiB */
    uint32_t entries_max; /* files, directories, links; 0: 2097152 */
    const char *cache;    /* folder for what registries send; NULL: no base oci: */
    const char *docker_config; /* docker's config.json, for credentials; NULL: none */
    /* For recipes that run something in the image, which a machine does: */
    const char *kernel; /* the machine's; it has ext4. NULL: such recipes are refused */
    const char *initrd; /* microvm-init as /init, "microvm-init.cpio" */
    const char *netd;   /* microvm-netd; NULL: where it is installed */
    uint32_t no_net;    /* 1: the machine has no network */
    uint32_t timeout_ms;             /* for all that is run; 0: 30 minutes */
    microvm_image_output_fn *output; /* or NULL; its first argument is `opaque` */
    const char *registry;   /* "HOST" or "HOST/PREFIX", where bases alpine: and debian:
                               are, in library/; NULL: docker.io */
    const char *mkfs_erofs; /* of erofs-utils 1.7 or later; NULL: the installed one */
    microvm_image_helper_fn *helper; /* or NULL: programs that keep credentials are not
                                        asked; its first argument is `opaque` */
} microvm_image_options;
#define MICROVM_IMAGE_OPTIONS_INIT                                                    \
    {                                                                                 \
        sizeof(microvm_image_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* What was built. */
typedef struct microvm_image_result {
    uint32_t size;
    uint32_t entries;       /* nodes in the image, its root included */
    uint64_t content_bytes; /* of all files, before compression */
    uint64_t image_bytes;   /* of the output; 0 for a folder */
    char digest[80];        /* "sha256:..." of the output; "" for a folder */
    char left_away[128];    /* "wg, nft": files "{NAME?}" of the template that are not
                               installed, so that the image is without; cut where long */
} microvm_image_result;
#define MICROVM_IMAGE_RESULT_INIT                   \
    {                                               \
        sizeof(microvm_image_result), 0, 0, 0, {0}, \
        {                                           \
            0                                       \
        }                                           \
    }

/*
 * Builds what the recipe says: its output, and beside it OUTPUT.json, which says how
 * the image is started (env, entrypoint, cmd, workdir, user) and what it is (format,
 * arch, digest). Both appear complete, the image first, or not at all, also after an
 * error. options and result may be NULL; result is the caller's, `size` set.
 * MICROVM_E_UNSUPPORTED: a key or base that this build cannot serve, with what to do.
 */
MICROVM_API int microvm_image_build(const microvm_recipe *recipe,
                                    const microvm_image_options *options,
                                    microvm_image_result *result, microvm_error *err);

/* ---- the cache --------------------------------------------------------------------
 *
 * What registries have sent: a folder, `cache` of the options, that several processes
 * may use at once. Whoever removes waits until nobody uses it, and the other way round.
 */

/* An image that is in a cache as a whole. */
typedef struct microvm_cached_image {
    uint32_t size;
    char reference[736]; /* "docker.io/library/alpine:3.19" */
    char arch[16];       /* "x86_64" */
    char digest[80];     /* of its manifest */
    uint64_t bytes;      /* of its layers, compressed; others may share them */
} microvm_cached_image;
#define MICROVM_CACHED_IMAGE_INIT                      \
    {                                                  \
        sizeof(microvm_cached_image), {0}, {0}, {0}, 0 \
    }

/* Brings an image into the cache. The registry is asked what the reference stands for
 * now, also when the cache knows what it stood for before; blobs that are there are not
 * fetched again. arch: "x86_64" or "arm64". image may be NULL. */
MICROVM_API int microvm_image_pull(const char *reference, const char *arch,
                                   const microvm_image_options *options,
                                   microvm_cached_image *image, microvm_error *err);

/* The image as a disk that a machine starts from (the key "image" of its
 * configuration), with OUTPUT.json beside it as microvm_image_build writes it: pulled
 * where the cache has it not, built where it was not built before. "dir:PATH" is a
 * folder of the host and "tar:PATH" an archive, read whole each time, and built again
 * when the content changed.
 * path: `size` bytes, the caller's; the file is the cache's, and stays until the image
 * is removed there. */
MICROVM_API int microvm_image_disk(const char *reference, const char *arch,
                                   const microvm_image_options *options, char *path,
                                   size_t size, microvm_error *err);

/* Calls `each` for every image, sorted by reference and architecture, until it returns
 * something else than 0, which is then returned. */
MICROVM_API int microvm_image_list(const char *cache,
                                   int (*each)(void *opaque,
                                               const microvm_cached_image *image),
                                   void *opaque, microvm_error *err);

/* Forgets a reference, of every architecture, and removes the blobs that no other image
 * has, and its disk. freed_bytes may be NULL. */
MICROVM_API int microvm_image_remove(const char *cache, const char *reference,
                                     uint64_t *freed_bytes, microvm_error *err);

/* Removes blobs of no image and downloads that broke off; with `all` every image. */
MICROVM_API int microvm_image_prune(const char *cache, int all, uint64_t *freed_bytes,
                                    microvm_error *err);

#ifdef __cplusplus
}
#endif

#endif
