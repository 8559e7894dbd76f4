/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The vsock device's setting: "uds=PATH,cid=N", an object with the same keys, or the
 * public struct.
 */
#include "core/config_row.h"

#include "util/bytes.h"
#include "util/str.h"

#include <stdlib.h>

enum {
    CID_MIN = 3,                           /* 0 to 2 are taken: virtio 1.2, 5.10.4 */
    PATH_MOST = 108 - sizeof "_4294967295" /* a socket's address, less "_PORT" */
};

void mv_config_vsock_reset(struct mv_config *config)
{
    free(config->vsock.uds);
    config->vsock = (struct mv_vsock_config){.on = false};
}

int mv_config_row_set_vsock(struct mv_config *config, const struct mv_config_row *row,
                            const struct microvm_vsock *vsock, microvm_error *err)
{
    const char *what = row->key.name;
    char *uds = NULL;
    if (vsock->size < sizeof *vsock)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: the size field is not set; use MICROVM_VSOCK_INIT", what);
    if (vsock->cid < CID_MIN || vsock->cid == UINT32_MAX)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: the cid %u is none that a guest can have: 3 to 4294967294",
                       what, vsock->cid);
    if (vsock->uds) {
        size_t length = strlen(vsock->uds);
        if (length < 1 || length > PATH_MOST || !mv_str_is_plain(vsock->uds))
            return mv_fail(err, MICROVM_E_INVALID,
                           "%s: the path of a socket has 1 to %d printable bytes, this "
                           "one %zu",
                           what, (int)PATH_MOST, length);
        uds = strdup(vsock->uds);
        if (!uds)
            return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", what);
    }
    mv_config_vsock_reset(config);
    config->vsock = (struct mv_vsock_config){true, vsock->cid, uds};
    return 0;
}

static int vsock_option(const char *what, const char *option,
                        struct microvm_vsock *vsock, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    uint64_t cid;
    if (!strncmp(option, "uds=", 4)) {
        vsock->uds = option + 4;
    } else if (!strncmp(option, "cid=", 4)) {
        const char *wrong = mv_str_to_count(option + 4, &cid);
        if (wrong || cid > UINT32_MAX)
            return mv_fail(err, MICROVM_E_INVALID, "%s: cid: '%s' %s", what,
                           mv_str_show(shown, option + 4),
                           wrong ? wrong : "is more than 4294967294");
        vsock->cid = (uint32_t)cid;
    } else {
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: unknown option '%s'; there are uds=PATH and cid=N (a comma "
                       "in the path is written twice)",
                       what, mv_str_show(shown, option));
    }
    return 0;
}

int mv_config_row_set_vsock_text(struct mv_config *config,
                                 const struct mv_config_row *row, const char *text,
                                 microvm_error *err)
{
    char *copy = strdup(text), *rest = copy;
    struct microvm_vsock vsock = MICROVM_VSOCK_INIT;
    int rc = 0;
    if (!copy)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", row->key.name);
    while (rest && !rc)
        rc = vsock_option(row->key.name, mv_config_part(&rest), &vsock, err);
    if (!rc)
        rc = mv_config_row_set_vsock(config, row, &vsock, err);
    free(copy);
    return rc;
}
