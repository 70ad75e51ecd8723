/* check.h - what is wrong or odd in a configuration: the findings of `postfix check`, start and reload */
#ifndef POSTERN_CONF_CHECK_H
#define POSTERN_CONF_CHECK_H

#include "conf/config.h"

enum finding_kind {
#define FINDING(kind, name, why, mend) FINDING_##kind,
#include "conf/findings.def"
#undef FINDING
};

enum finding_weight {
    FINDING_NOTE,    /* nothing needs to be done */
    FINDING_WARNING, /* the mail system works, perhaps not as was meant */
    FINDING_ERROR    /* mail would be lost time, refused or not accepted: start and reload refuse */
};

struct finding {
    enum finding_kind kind;
    enum finding_weight weight;
    const char *file;    /* NULL: none */
    int line;            /* 0: none */
    const char *subject; /* the parameter, table, user, ...; may be NULL */
    const char *text;    /* complete: file and line are in it */
};
typedef void finding_report(void *context, const struct finding *finding);

const char *finding_name(enum finding_kind kind);
const char *finding_why(enum finding_kind kind);
/* finding_mend - what mends it, with the finding's own words filled in; nothing is appended when there is nothing to do. */
void finding_mend(const struct finding *finding, struct buffer *out);

/* config_check - look at everything that main.cf and master.cf of the config's directory say, whether a program reads it or not, and report:

   errors    values that are malformed or out of range or none of the choices, and entries of master.cf that cannot be used, when a service of
             master.cf reads them; restrictions that do not exist; mail filters that cannot be; two settings that contradict each other
   warnings  unknown names (with the nearest known one), names that are referred to and not set, settings without effect (not yet honoured,
             obsolete), files of table settings that cannot be read

   Syntax errors and duplicate entries in main.cf are reported by config_load.  Texts name file and line.  The result is the number of
   findings; *fatal (may be NULL) tells whether one was an error. */
size_t config_check(struct config *config, finding_report *report, void *context, bool *fatal);

#endif
