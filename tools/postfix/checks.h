/* checks.h - what `postfix check` looks at beside the text of main.cf and master.cf */
#ifndef POSTERN_TOOLS_POSTFIX_CHECKS_H
#define POSTERN_TOOLS_POSTFIX_CHECKS_H

#include "conf/master_cf.h"
#include "control.h"

/* A setting as a program sees it. */
struct setting_place {
    const char *name;
    const char *value; /* expanded */
    const char *file;
    int line;          /* 0: a default */
    struct config *config; /* of the service, or of main.cf */
};

/* A table that a setting names. */
struct table_use {
    const char *name;      /* "type:path", without proxy: */
    const char *type, *path;
    struct setting_place place;
    size_t group;          /* the same for all tables of one value */
};

struct table_uses {
    struct table_use *uses;
    size_t count;
};

/* What all checks work with. */
struct checks {
    struct control *control;
    struct config *config;
    struct arena *arena;
    const char *main_file, *master_file;
    struct master_cf services;
    struct config **service_configs; /* one for each service; that of main.cf where it has no -o */
    struct table_uses tables;
};

/* checks_run - all that is in the table of checks.c. */
void checks_run(struct control *control);
/* checks_before_start - those of them whose errors would break the mail system; false: there is one. */
bool checks_before_start(struct control *control);

/* ---- references.c ---- */
/* settings_each - every string setting that main.cf and services give, and the default of alias_maps. */
void settings_each(struct checks *checks, void (*each)(void *context, const struct setting_place *place), void *context);
void table_uses_find(struct checks *checks);
/* setting_place_of - a parameter as main.cf has it. */
struct setting_place setting_place_of(struct checks *checks, const char *name);
bool is_program(const struct master_service *service, const char *program);

/* ---- one file each ---- */
void check_types(struct checks *checks);        /* of tables; also before start and reload */
void check_tables(struct checks *checks);
void check_chroot(struct checks *checks);
void check_rows(struct checks *checks);         /* --tables */
void check_domains(struct checks *checks);
void check_relaying(struct checks *checks);
void check_users(struct checks *checks);
void check_certificates(struct checks *checks);
void check_logins(struct checks *checks);
void check_dns(struct checks *checks);          /* --dns */

/* ---- table_rows.c ---- */
/* table_rows_read - the rows of a text that is "key value", folded; alias: "key: value".  False when the file cannot be read.  line_problem may be
   NULL. */
struct table_row {
    const char *key, *value;
    int line;
};
struct table_rows {
    struct table_row *rows;
    size_t count;
};
bool table_rows_read(struct arena *arena, const char *path, bool alias, struct table_rows *rows,
                     void (*line_problem)(void *context, int line, const char *text), void *context);
/* table_use_is_indexed - hash and the like, whose text lies beside; *suffix of the index.  table_use_is_alias - of local(8). */
bool table_use_is_indexed(const struct table_use *use, const char **suffix);
bool table_use_has_rows(const struct table_use *use);
bool table_use_is_alias(const struct table_use *use);

#endif
