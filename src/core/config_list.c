/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Settings that are lists of texts: forwards and rules of the user network. What they
 * say is looked at by microvm-netd, which has to be sure of it anyway.
 */
#include "core/config_row.h"

#include <stdlib.h>
#include <string.h>

int mv_config_list_add(struct mv_config *config, const struct mv_config_row *row,
                       const char *text, microvm_error *err)
{
    struct mv_config_list *list = mv_config_field(config, row);
    if (list->count == MV_LIST_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "%s: there can be %d at most",
                       row->key.name, MV_LIST_MAX);
    char *copy = strdup(text);
    if (!copy)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", row->key.name);
    list->text[list->count++] = copy;
    return 0;
}

void mv_config_list_reset(struct mv_config_list *list)
{
    while (list->count > 0)
        free(list->text[--list->count]);
}

bool mv_config_list_own(struct mv_config_list *list)
{
    bool all = true;
    for (unsigned i = 0; i < list->count; i++) {
        list->text[i] = strdup(list->text[i]);
        all &= list->text[i] != NULL;
    }
    return all;
}
