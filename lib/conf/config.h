/* config.h - main.cf: parameters, their types and defaults, $-expansion (compat.md section a) */
#ifndef POSTERN_CONF_CONFIG_H
#define POSTERN_CONF_CONFIG_H

#include "base/arena.h"
#include "base/buffer.h"

struct config; /* the parameters of one configuration directory, with overrides; one instance per program generation */

enum parameter_type {
    PARAMETER_STRING, /* expanded when read */
    PARAMETER_RAW,    /* not expanded; the consumer expands its own macros */
    PARAMETER_BOOL,
    PARAMETER_INT,  /* int64_t */
    PARAMETER_TIME, /* int64_t microseconds */
    PARAMETER_SIZE  /* int64_t bytes */
};

enum parameter_state { PARAMETER_HONOURED, PARAMETER_NOT_YET, PARAMETER_NEEDLESS, PARAMETER_OBSOLETE };

/* One row of parameters.def. */
struct parameter {
    const char *name;          /* "<transport>_suffix" rows are found through config_transport_* */
    enum parameter_type type;
    const char *default_value; /* unexpanded */
    int64_t minimum, maximum;  /* in the unit of the type (times: microseconds; strings: maximum is a length); INT64_MIN / _MAX: not checked */
    char unit;                 /* times: unit of a value without suffix: 's', 'm', 'h', 'd', 'w'; else 0 */
    size_t minimum_length;     /* strings: 1 makes an empty value an error */
    const char *programs;      /* "smtpd,cleanup" or "all" */
    enum parameter_state state;
    const char *choices;       /* strings: "a|b": one of these; "list a|b": a list of these; "": anything; of needless ones: why */
};

/* parameter_find - the row with that exact name, NULL when there is none.  parameter_at - rows in order, NULL past the end. */
const struct parameter *parameter_find(struct slice name);
const struct parameter *parameter_at(size_t index);
/* parameter_find_transport - the "<transport>_suffix" row for a name such as "slow_destination_rate_delay", NULL when none fits.
   parameter_of_suffix - the row of a suffix ("destination_rate_delay"). */
const struct parameter *parameter_find_transport(struct slice name);
const struct parameter *parameter_of_suffix(struct slice suffix);
/* parameter_nearest - the known name that is spelt most like this one (edit distance), NULL when none is near. */
const char *parameter_nearest(struct slice name);

/* What happens with a problem in the configuration.  fatal: the value cannot be used.  text is complete, in Postfix's words
   (compat.md a.1, a.3, i.7): it names file and line itself; file (may be NULL) and line (0: unknown) are for collectors.  The default
   handler logs the text with log_warning or log_fatal; `postfix check`, postconf and reload tests collect instead. */
typedef void config_report(void *context, bool fatal, const char *file, int line, const char *text);

/* config_ignore_problem - a report function that drops everything. */
void config_ignore_problem(void *context, bool fatal, const char *file, int line, const char *text);

/* config_load - read DIRECTORY/main.cf.  directory NULL: MAIL_CONFIG from the environment, else the compiled-in one.
   report NULL: default handler.  NULL result only after a fatal report that returned.  config_free(NULL) is fine. */
struct config *config_load(const char *directory, config_report *report, void *context) MUST_CHECK;
/* config_load_despite - the same, but lines that are wrong are reported and left out: for programs that have to tell about them in the right
   place.  *broken tells.  NULL only when the file cannot be read. */
struct config *config_load_despite(const char *directory, bool *broken, config_report *report, void *context) MUST_CHECK;
/* config_empty - only defaults (tests, postconf -d).  config_parse - add lines of main.cf syntax from memory (tests). */
struct config *config_empty(void) MUST_CHECK;
struct config *config_empty_reporting(config_report *report, void *context) MUST_CHECK;
bool config_parse(struct config *config, struct slice text, const char *file_name);
void config_free(struct config *config);
const char *config_directory(const struct config *config);

/* config_copy_quiet - the same settings; problems are dropped. */
struct config *config_copy_quiet(const struct config *config) MUST_CHECK;
/* config_set - override (master.cf -o, postconf -o): as if it were the last line of main.cf. */
void config_set(struct config *config, struct slice name, struct slice value);
/* config_set_fits - as config_set; false when a program that reads the parameter would report the value (nothing is reported now).
   The value stands all the same, and reads as the default. */
bool config_set_fits(struct config *config, struct slice name, struct slice value);
/* config_set_argument - "name=value" or "{ name = value }" as it comes after -o; false (reported) when malformed. */
bool config_set_argument(struct config *config, const char *argument);

/* config_raw - the value as written (main.cf or override), NULL when the parameter was not set; *line may be NULL.
   config_next_set - walk over the names set in main.cf, in file order (start with 0); false at the end. */
const char *config_raw(const struct config *config, struct slice name, int *line);
bool config_next_set(const struct config *config, size_t *position, struct slice *name);

/* Typed reading.  The name is that of a parameters.def row, a user-defined one gives "" for strings.  A value out of range
   or malformed is reported as fatal; when the reporter returns, the default is used.  Strings live as long as the config. */
const char *config_string(struct config *config, const char *name);
bool config_bool(struct config *config, const char *name);
int64_t config_int(struct config *config, const char *name);  /* also sizes */
int64_t config_time(struct config *config, const char *name); /* microseconds */
/* config_transport_int, _time, _string - "<transport>_suffix" if set, else the default row's expanded value. */
int64_t config_transport_int(struct config *config, const char *transport, const char *suffix);
int64_t config_transport_time(struct config *config, const char *transport, const char *suffix);
const char *config_transport_string(struct config *config, const char *transport, const char *suffix);

/* config_expand - $-expand any text with this configuration (compat.md a.2).  False (reported) on a syntax error. */
bool config_expand(struct config *config, struct slice text, struct buffer *out);
/* config_expand_with - general macro expansion for consumers of raw parameters (mailbox_command, luser_relay, forward_path,
   default_rbl_reply, footers, bounce templates): lookup gives the value of a name or NULL when undefined. */
typedef const char *config_lookup(void *context, struct slice name);
bool config_expand_with(struct slice text, config_lookup *lookup, void *context, struct buffer *out, struct buffer *error);
/* config_expand_nested - the same, but what lookup gives is expanded in turn, as main.cf values are. */
bool config_expand_nested(struct slice text, config_lookup *lookup, void *context, struct buffer *out, struct buffer *error);

/* ---- a program's own parameter struct, filled from the table ----

   #define SMTPD_PARAMETERS(X) X(STRING, smtpd_banner) X(BOOL, smtpd_delay_reject) X(TIME, smtpd_timeout) ...
   struct smtpd_params { CONFIG_MEMBERS(SMTPD_PARAMETERS) };
   static const struct config_binding bindings[] = { CONFIG_BINDINGS(struct smtpd_params, SMTPD_PARAMETERS) };
   config_fill(config, bindings, COUNT_OF(bindings), &params);

   Strings are const char * owned by the config; INT, SIZE, TIME are int64_t; BOOL is bool. */
struct config_binding { const char *name; enum parameter_type type; size_t offset; };
#define CONFIG_TYPE_STRING const char *
#define CONFIG_TYPE_RAW const char *
#define CONFIG_TYPE_BOOL bool
#define CONFIG_TYPE_INT int64_t
#define CONFIG_TYPE_SIZE int64_t
#define CONFIG_TYPE_TIME int64_t
#define CONFIG_MEMBER(type, name) CONFIG_TYPE_##type name;
#define CONFIG_MEMBERS(LIST) LIST(CONFIG_MEMBER)
#define CONFIG_BINDING(type, name) {#name, PARAMETER_##type, offsetof(CONFIG_STRUCT, name)},
/* Define CONFIG_STRUCT as the struct's type before using CONFIG_BINDINGS(LIST). */
#define CONFIG_BINDINGS(LIST) LIST(CONFIG_BINDING)
/* config_fill - panics when a row is missing in parameters.def or has another type (INT and SIZE agree): a programming error. */
void config_fill(struct config *config, const struct config_binding *bindings, size_t count, void *params);

/* config_list_next - take the next element of a list value off *rest: separators comma, blank, tab, CR, LF; "{ ... }" protects
   separators and keeps its braces (compat.md a.3).  False at the end. */
bool config_list_next(struct slice *rest, struct slice *element);
/* config_list_has - the list has this word (any case). */
bool config_list_has(const char *list, const char *word);
/* config_braced - the text inside "{ ... }" (outer braces and blanks at the edges taken off); false when not braced. */
bool config_braced(struct slice text, struct slice *inside);
/* config_compatibility_below - compatibility_level < the given level ("3.6"). */
bool config_compatibility_below(struct config *config, const char *level);
/* config_is_old_default - the parameter is not set and compatibility_level keeps an older default for it: where that decides something the log says so,
   "using backwards-compatible default setting ..." (compat.md l.2). */
bool config_is_old_default(struct config *config, const char *name);

#endif
