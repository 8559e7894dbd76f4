/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A build under way: what the steps of the builder hand to each other.
 */
#ifndef MV_IMAGE_BUILDER_H
#define MV_IMAGE_BUILDER_H

#include "manifest.h"
#include "recipe.h"
#include "store.h"
#include "tree.h"

struct mv_build {
    const microvm_recipe *recipe;
    const microvm_image_options *options;
    const char *cache, *docker_config; /* or NULL */
    const char *folder;                /* for scratch files */
    struct mv_config_of_image image;   /* how the base is started, where it says so */
    struct mv_progress progress;
    struct mv_tree tree;
    struct mv_store store;
};

/* base.c: the tree begins as the recipe's base. */
int mv_build_base(struct mv_build *build, microvm_error *err);
/* Can this build serve that base? Asked before anything is made. */
int mv_build_base_check(const char *base, const char *registry, microvm_error *err);

/* addfile.c: the recipe's files of the host go into the tree, in their order. */
int mv_build_add_files(struct mv_build *build, microvm_error *err);

/* run.c: what the recipe installs and runs in the image, in a machine. */
int mv_build_run(struct mv_build *build, microvm_error *err);
/* Can it be? Asked before anything is made. */
int mv_build_run_check(const microvm_recipe *recipe,
                       const microvm_image_options *options, microvm_error *err);

/* builder.c: the tree as a file, and its OUTPUT.json. */
int mv_build_file(const struct mv_build *build, const struct mv_write *w,
                  const char *output, microvm_image_result *result, microvm_error *err);

/* bundle.c: the tree as a file in a folder, with what starts it. */
int mv_build_bundle(const struct mv_build *build, const struct mv_write *w,
                    microvm_image_result *result, microvm_error *err);
/* Can it be? Asked before anything is made. */
int mv_build_bundle_check(const microvm_recipe *recipe,
                          const microvm_image_options *options, microvm_error *err);

/* about.c: the text of OUTPUT.json; free() it. What the recipe says goes before what
 * the base does. `digest` may be "". */
int mv_build_about(const microvm_recipe *recipe, const struct mv_config_of_image *base,
                   const char *digest, char **text, microvm_error *err);

/* Times of what comes from the host. */
static inline int64_t mv_build_epoch(const struct mv_build *build)
{
    return build->recipe->epoch_s < 0 ? 0 : build->recipe->epoch_s;
}

#endif
