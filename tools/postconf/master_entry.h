/* master_entry.h - entries of master.cf as postconf prints and edits them */
#ifndef POSTERN_POSTCONF_MASTER_ENTRY_H
#define POSTERN_POSTCONF_MASTER_ENTRY_H

#include "postconf.h"

enum { MASTER_COLUMNS = 8, COLUMN_COMMAND = 7 };

struct master_entry {
    const char *columns[MASTER_COLUMNS];
    const char **words; /* what follows the command, braces taken off; "-o" and "name=value" are two words */
    size_t word_count;
    size_t option_words; /* so many words are options; after the first other word nothing is */
};

struct master_entries {
    struct master_entry *items;
    size_t count;
};

/* master_column_names - "service", "type", ... "command"; master_column_find - its index, fatal when there is none. */
extern const char *const master_column_names[MASTER_COLUMNS];
int master_column_find(struct slice name);

/* master_entries_load - all entries of a file, duplicates too; a missing file is a warning, or fatal when required. */
struct master_entries *master_entries_load(struct postconf *pc, const char *path, bool required);
/* master_entry_parse - one logical line; where is put before the reason when the number of fields is wrong. Fatal when malformed. */
void master_entry_parse(struct postconf *pc, struct slice line, const char *bad_count, struct master_entry *entry);
/* master_entry_set_words - the command and what follows it from text. */
void master_entry_set_command(struct postconf *pc, struct slice text, struct master_entry *entry);
/* master_entry_check_column - fatal when a column other than the command cannot have this value; context is quoted in the message. */
void master_entry_check_column(int column, const char *value, struct slice context);

/* master_entry_next_setting - walk over the -o settings of an entry; *at starts with 0.  When the name appears again later, only the
   last one counts for programs; all are reported. */
bool master_entry_next_setting(const struct master_entry *entry, size_t *at, struct slice *name, struct slice *value);
/* master_entry_set, master_entry_remove - change the -o settings. */
void master_entry_set(struct postconf *pc, struct master_entry *entry, struct slice name, struct slice value);
void master_entry_remove(struct master_entry *entry, struct slice name);

/* master_entry_format - the entry as one line (or folded), with LF.  master_entry_format_command - the command column alone; column is
   where it starts. */
void master_entry_format(const struct master_entry *entry, bool fold, struct buffer *out);
void master_entry_format_command(const struct master_entry *entry, size_t column, bool fold, struct buffer *out);

/* A request "service[/type[/item]]"; "*" stands for anything. */
struct master_pattern {
    const char *text;
    struct slice service, type, item; /* "*" when left out */
    bool matched;
};
/* master_pattern_parse - false when it has more than parts parts, or a "*" that does not stand alone. */
bool master_pattern_parse(const char *text, int parts, struct master_pattern *pattern);
bool master_pattern_matches(const struct master_pattern *pattern, const struct master_entry *entry);
bool master_part_matches(struct slice part, const char *text);

#endif
