/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SHA-256 through libcrypto's EVP interface, and its text form of the OCI image
 * specification ("descriptor.md", Digests). Other algorithms are not spoken: registries
 * use none.
 */
#include "digest.h"

#include "files.h"
#include "util/assert.h"
#include "util/bytes.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 256 * 1024 };

/* libcrypto's context under a name of our own. */
static EVP_MD_CTX *hash_context(struct mv_hash *hash)
{
    return (EVP_MD_CTX *)(void *)hash;
}

int mv_hash_new(struct mv_hash **hash, microvm_error *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "libcrypto has no SHA-256 here");
    }
    *hash = (struct mv_hash *)(void *)context;
    return 0;
}

void mv_hash_free(struct mv_hash *hash)
{
    EVP_MD_CTX_free(hash_context(hash));
}

void mv_hash_add(struct mv_hash *hash, const void *data, size_t length)
{
    MV_ASSERT(EVP_DigestUpdate(hash_context(hash), data, length) == 1);
}

void mv_hash_end(struct mv_hash *hash, struct mv_digest *digest)
{
    unsigned length = 0;
    MV_ASSERT(EVP_DigestFinal_ex(hash_context(hash), digest->byte, &length) == 1);
    MV_ASSERT(length == MV_DIGEST_BYTES);
}

int mv_digest_of(const void *data, size_t length, struct mv_digest *digest,
                 microvm_error *err)
{
    struct mv_hash *hash;
    int rc = mv_hash_new(&hash, err);
    if (rc)
        return rc;
    mv_hash_add(hash, data, length);
    mv_hash_end(hash, digest);
    mv_hash_free(hash);
    return 0;
}

static int hash_file(struct mv_hash *hash, int fd, uint64_t bytes,
                     const struct mv_progress *progress, microvm_error *err)
{
    void *piece = malloc(PIECE_BYTES);
    int rc = piece ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    for (uint64_t at = 0; !rc && at < bytes; at += PIECE_BYTES) {
        size_t length = (size_t)MV_MIN(bytes - at, (uint64_t)PIECE_BYTES);
        rc = mv_files_read(fd, at, piece, length, "image", err);
        if (!rc)
            rc = mv_progress(progress, "checksum", at, bytes, err);
        if (!rc)
            mv_hash_add(hash, piece, length);
    }
    free(piece);
    return rc;
}

int mv_digest_file(int fd, uint64_t bytes, const struct mv_progress *progress,
                   struct mv_digest *digest, microvm_error *err)
{
    struct mv_hash *hash;
    int rc = mv_hash_new(&hash, err);
    if (rc)
        return rc;
    rc = hash_file(hash, fd, bytes, progress, err);
    if (!rc)
        mv_hash_end(hash, digest);
    mv_hash_free(hash);
    return rc;
}

void mv_digest_text(const struct mv_digest *digest, char text[MV_DIGEST_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    memcpy(text, "sha256:", 7);
    for (unsigned i = 0; i < MV_DIGEST_BYTES; i++) {
        text[7 + 2 * i] = digits[digest->byte[i] >> 4];
        text[8 + 2 * i] = digits[digest->byte[i] & 15];
    }
    text[MV_DIGEST_TEXT - 1] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mv_digest_parse(const char *text, struct mv_digest *digest)
{
    struct mv_digest out;
    if (strlen(text) != MV_DIGEST_TEXT - 1 || memcmp(text, "sha256:", 7))
        return false;
    for (unsigned i = 0; i < MV_DIGEST_BYTES; i++) {
        int high = hex_value(text[7 + 2 * i]), low = hex_value(text[8 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        out.byte[i] = (uint8_t)(high << 4 | low);
    }
    *digest = out;
    return true;
}

bool mv_digest_same(const struct mv_digest *a, const struct mv_digest *b)
{
    return !memcmp(a->byte, b->byte, MV_DIGEST_BYTES);
}
