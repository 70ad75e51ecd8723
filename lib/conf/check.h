/* check.h - what is wrong or odd in a configuration: the findings of `postfix check` */
#ifndef POSTERN_CONF_CHECK_H
#define POSTERN_CONF_CHECK_H

#include "conf/config.h"

/* config_check - look at everything that main.cf and master.cf of the config's directory say, whether a program reads it or not, and report:

   fatal     values that are malformed or out of range; entries of master.cf that cannot be used
   warning   unknown names (with the nearest known one), names that are referred to and not set, settings without effect (not yet honoured,
             obsolete), values that are none of the choices, two settings that contradict each other, table files that cannot be read

   Syntax errors and duplicate entries in main.cf are reported by config_load.  Texts name file and line.  The result is the number of
   findings; *fatal (may be NULL) tells whether one was fatal. */
size_t config_check(struct config *config, config_report *report, void *context, bool *fatal);

#endif
