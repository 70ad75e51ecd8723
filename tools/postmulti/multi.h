/* multi.h - postmulti: several mail systems on one machine (compat.md j.8)

   The primary instance's multi_instance_directories names the configuration directories of the others; each instance says itself what it is
   called, which group it is in, and whether it is enabled. */
#ifndef POSTERN_TOOLS_POSTMULTI_MULTI_H
#define POSTERN_TOOLS_POSTMULTI_MULTI_H

#include "base/arena.h"
#include "base/log.h"
#include "service/command.h"

struct instance {
    struct config *config;
    const char *directory, *name, *group; /* name and group may be "" */
    bool primary, enabled;
};

struct multi {
    struct arena *memory; /* of the process */
    struct config *config; /* of the primary */
    struct instance *instances; /* the primary first */
    size_t count;
    bool managed; /* multi_instance_wrapper is set */
    int verbose;
    /* selection */
    const char *wanted_name, *wanted_group; /* NULL: any */
    bool first, reverse;
    /* new names; NULL: none given */
    const char *new_name, *new_group;
};

/* ---- instances.c ---- */
void instances_load(struct multi *multi);
bool instance_is_selected(const struct multi *multi, const struct instance *instance);
/* instance_only - the one that -i names; fatal without. */
struct instance *instance_only(struct multi *multi, const char *action);
/* run_in_instance - the words (NULL terminated) with the environment of the instance; the exit status. */
int run_in_instance(const struct multi *multi, const struct instance *instance, const char *const *words);
/* command_path - in the primary's command_directory. */
const char *command_path(struct multi *multi, const char *name);

/* ---- lifecycle.c ---- */
int lifecycle_run(struct multi *multi, const char *action, char **arguments);

/* ---- files.c ---- */
/* files_create - main.cf and master.cf of a new instance, its queue and data directory. */
void files_create(struct multi *multi, const char *directory, const char *queue_directory, const char *data_directory);
/* files_destroy - what the mail system made; others stay, with a warning. */
void files_destroy(struct multi *multi, const struct instance *instance);
/* postconf_edit - "name=value" settings (NULL terminated) in a main.cf. */
void postconf_edit(struct multi *multi, const char *directory, const char *const *settings);

#endif
