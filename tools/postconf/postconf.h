/* postconf.h - what the files of postconf share (compat.md j.3) */
#ifndef POSTERN_POSTCONF_POSTCONF_H
#define POSTERN_POSTCONF_POSTCONF_H

#include "base/arena.h"
#include "conf/config.h"
#include "conf/names.h"

/* Options by letter: a bit each.  The order within a row is the order in messages. */
enum postconf_option {
    /* what to do; none: -p */
    OPTION_a = 1 << 0,  /* SASL server types */
    OPTION_A = 1 << 1,  /* SASL client types */
    OPTION_b = 1 << 2,  /* bounce templates expanded */
    OPTION_F = 1 << 3,  /* fields of master.cf */
    OPTION_l = 1 << 4,  /* mailbox lock types */
    OPTION_m = 1 << 5,  /* table types */
    OPTION_M = 1 << 6,  /* entries of master.cf */
    OPTION_p = 1 << 7,  /* parameters of main.cf */
    OPTION_P = 1 << 8,  /* parameters of master.cf */
    OPTION_t = 1 << 9,  /* bounce templates as written */
    OPTION_T = 1 << 10, /* TLS facts */
    /* how */
    OPTION_d = 1 << 11,      /* defaults */
    OPTION_e = 1 << 12,      /* edit */
    OPTION_f = 1 << 13,      /* fold lines */
    OPTION_h = 1 << 14,      /* no names */
    OPTION_H = 1 << 15,      /* no values */
    OPTION_n = 1 << 16,      /* set ones only */
    OPTION_o = 1 << 17,      /* override */
    OPTION_x = 1 << 18,      /* expand */
    OPTION_X = 1 << 19,      /* delete */
    OPTION_HASH = 1 << 20,   /* comment out */
    OPTION_q = 1 << 21,      /* no warnings about names */
    OPTION_j = 1 << 22       /* JSON */
};

struct master_entries;

struct postconf {
    unsigned options;
    unsigned classes;      /* enum name_class bits of -C */
    const char *directory; /* of -c or MAIL_CONFIG, NULL: the default one */
    const char *tls_mode;
    const char **overrides; /* of -o */
    size_t override_count;
    struct config *config;
    struct arena *arena;
    struct master_entries *entries;
    struct config_names *names;
};

/* options.c: complain (fatal) about options that do not go together. */
void options_check(unsigned options);

/* names.c: load_names - find out which names are known.  warn_undefined, warn_unused - on standard error. */
void load_names(struct postconf *pc);
void warn_undefined(struct postconf *pc);
void warn_unused(struct postconf *pc);
const char *config_file(const struct postconf *pc, const char *name); /* DIRECTORY/name */

/* print.c: print "NAME = value" as the options say; the value's white space becomes single blanks. */
void print_setting(const struct postconf *pc, const char *name, struct slice value);
/* print_words - the words of text, starting at column (something is printed before them when it is > 0); returns the new column. */
size_t print_words(struct slice text, size_t column, bool fold);
enum { FOLD_COLUMN = 80, FOLD_INDENT = 4 };

/* show_main.c: the parameters of main.cf, all or those named. */
void show_main(struct postconf *pc, char **names, int count);
/* edit_main.c: -e, -X, -# for main.cf. */
void edit_main(struct postconf *pc, char **requests, int count);
/* show_master.c: -M, -F, -P;  edit_master.c: the same with -e, -X, -#. */
void show_master(struct postconf *pc, char **patterns, int count);
void edit_master(struct postconf *pc, char **requests, int count);
/* show_lists.c: -a -A -b -l -m -t -T. */
void show_lists(struct postconf *pc, char **arguments, int count);

/* edit_request_check - one "name=value" (or name, with -X, -#) of a command line: fatal when it has line breaks or is a comment. */
void edit_request_check(const char *request);
/* split_request - "name = value" in place, fatal when malformed. */
void split_request(char *request, struct slice *name, struct slice *value);

/* replace_file.c: a file is written beside the old one, made durable and renamed; mode and owner stay. */
struct replacement;
struct replacement *replacement_open(const char *path, struct buffer *old_text) MUST_CHECK; /* old text appended to *old_text */
void replacement_commit(struct replacement *replacement, struct slice new_text);

#endif
