/* bounce_templates.h - the texts of notifications: built in, or from bounce_template_file (compat.md g.6) */
#ifndef POSTERN_CONF_BOUNCE_TEMPLATES_H
#define POSTERN_CONF_BOUNCE_TEMPLATES_H

#include "conf/config.h"

enum bounce_template_kind { BOUNCE_TEMPLATE_FAILURE, BOUNCE_TEMPLATE_DELAY, BOUNCE_TEMPLATE_SUCCESS, BOUNCE_TEMPLATE_VERIFY, BOUNCE_TEMPLATE_COUNT };

struct bounce_template {
    const char *name; /* "failure": block name is failure_template */
    const char *charset, *from, *subject;
    const char *postmaster_subject; /* NULL: none (success, verify) */
    const char *text; /* LF line ends, $name not expanded */
    bool from_file;   /* not the built-in one */
};

/* bounce_template_builtin - never NULL.  bounce_templates_load - all four: built in, replaced by the blocks of the file (NULL or empty: none);
   what is malformed is warned of and the built-in text stays.  Memory of the arena. */
const struct bounce_template *bounce_template_builtin(enum bounce_template_kind kind);
void bounce_templates_load(const char *path, struct arena *arena, struct bounce_template templates[BOUNCE_TEMPLATE_COUNT]);
/* bounce_template_expand - the text with $name and $name_hours etc. replaced; false (reason logged) when a name is unknown: use the built-in one. */
bool bounce_template_expand(struct config *config, const struct bounce_template *template, struct buffer *out);
/* bounce_template_print - source form: headers, empty line, text (postconf -t, -b). */
void bounce_template_print(const struct bounce_template *template, struct slice text, const char *block_suffix, struct buffer *out);

#endif
