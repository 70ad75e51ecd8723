/* config_private.h - what the files of this room share and nobody else sees */
#ifndef POSTERN_CONF_CONFIG_PRIVATE_H
#define POSTERN_CONF_CONFIG_PRIVATE_H

#include "base/map.h"
#include "conf/config.h"
#include "conf/config_file.h"

struct setting {
    char *value; /* as written */
    int line;    /* 0: set by the program or with -o */
};

struct config {
    char *directory;
    char *path; /* main.cf, for messages */
    config_report *report;
    void *context;
    bool failed; /* a fatal problem was reported */
    struct map *settings; /* name -> struct setting */
    struct map *expanded; /* name -> string in strings: what config_string gave before */
    struct arena *strings;
    struct buffer main_text, master_text; /* as they were read (snapshot.h) */
    bool whole;                           /* master_text holds master.cf */
    unsigned deriving;   /* bits: computed defaults being worked out */
    char *own_networks; /* computed default of mynetworks, NULL until asked */
};

/* config_problem - hand a problem to the reporter.  The text is complete: it names file and line itself where Postfix does. */
void config_problem(struct config *config, bool fatal, const char *file, int line, const char *format, ...) PRINTF_LIKE(5, 6);
/* config_new_at - nothing set; directory as for config_load.  config_take_texts - read main.cf's text, keep both.  config_if_good - the config, or
   NULL (and it is freed) after a fatal report. */
struct config *config_new_at(const char *directory, config_report *report, void *context) MUST_CHECK;
void config_take_texts(struct config *config, struct slice main_text, struct slice master_text);
struct config *config_if_good(struct config *config);
/* config_next_any - as config_next_set, with overrides as well, without the names that only the program sets. */
bool config_next_any(const struct config *config, size_t *position, struct slice *name);
/* config_line_of - where a parameter was set, 0 when it was not set in main.cf. */
int config_line_of(const struct config *config, struct slice name);

/* config_copy - the same settings with another reporter. */
struct config *config_copy(const struct config *config, config_report *report, void *context) MUST_CHECK;

/* name_nearest - of the names that at gives (NULL at the end) the one that is spelt most like name; NULL when none is near. */
const char *name_nearest(struct slice name, const char *(*at)(size_t index));

/* config_check_value - read a set parameter for its reports only; row describes it. */
void config_check_value(struct config *config, const char *name, const struct parameter *row);

/* derived_default - the computed default of myhostname, mydomain, mynetworks, process_id and process_name, NULL for other names. */
const char *derived_default(struct config *config, struct slice name);

/* level_compare - compare two compatibility levels: *result < 0, 0, > 0.  False when one is malformed (*bad says which). */
bool level_compare(struct slice a, struct slice b, int *result, struct slice *bad);

/* expand_text - the expansion engine.  lookup gives a name's value (not expanded) or NULL; recurse: values are expanded in turn.
   On failure false, and *error holds what is wrong. */
bool expand_text(struct slice text, config_lookup *lookup, void *context, bool recurse, struct buffer *out, struct buffer *error);

#endif
