/* names.h - which parameter names a configuration knows, uses, refers to and leaves over (compat.md j.3)

   Known are: the rows of parameters.def; "<transport>_suffix" for the services of master.cf; names set in main.cf that some other
   value refers to as $name; restriction classes; the parameters of a table that is configured in main.cf ("ldap:foo" and foo_bind). */
#ifndef POSTERN_CONF_NAMES_H
#define POSTERN_CONF_NAMES_H

#include "conf/config.h"

enum name_class {
    NAME_UNKNOWN = 0,
    NAME_BUILTIN = 1,
    NAME_SERVICE = 2,
    NAME_USER = 4,  /* set in main.cf and used */
    NAME_LEGACY = 8 /* an old name that a built-in default refers to */
};

/* What names needs of a service in master.cf. */
struct name_setting {
    const char *name, *value;
};
struct name_service {
    const char *name, *type, *command; /* command: without directory */
    const struct name_setting *settings; /* its -o arguments */
    size_t count;
};

/* name_service_setting - what -o says of it last; NULL: nothing. */
const char *name_service_setting(const struct name_service *service, const char *name);

enum name_problem {
    NAME_UNDEFINED_IN_MASTER, /* name is referred to and nowhere set */
    NAME_UNDEFINED_IN_MAIN,
    NAME_UNUSED_IN_MAIN,      /* set (value), neither known nor referred to */
    NAME_UNUSED_IN_MASTER,
    NAME_UNUSED_IN_TABLE,     /* file is "ldap:/etc/x.cf" */
    NAME_TABLE_UNREADABLE     /* name is the table type, file the path, value the reason */
};
typedef void name_report(void *context, enum name_problem problem, const char *file, const char *name, const char *value);

struct config_names;
/* config_names_new - work it out.  services may be NULL.  defaults_only: as if main.cf were empty.  config_names_free(NULL) is fine. */
struct config_names *config_names_new(struct config *config, bool defaults_only, const struct name_service *services, size_t count) MUST_CHECK;
void config_names_free(struct config_names *names);
enum name_class config_names_class(const struct config_names *names, struct slice name);
/* config_names_next - walk over all known names in no order that matters; start with *position 0. */
bool config_names_next(const struct config_names *names, size_t *position, struct slice *name, enum name_class *class);
/* config_names_default - the unexpanded default of a known name ("" for user names). */
const char *config_names_default(struct config_names *names, struct slice name);
/* config_names_undefined, config_names_unused - report what is wrong with the names; each name once. */
void config_names_undefined(struct config_names *names, name_report *report, void *context);
void config_names_unused(struct config_names *names, name_report *report, void *context);

/* config_references - call found for each $name, ${name...} in a value, in whichever branch it stands. */
void config_references(struct slice value, void (*found)(void *context, struct slice name), void *context);

#endif
