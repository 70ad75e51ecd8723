/* restrictions.h - the names of smtpd's access restrictions (restrictions.def) */
#ifndef POSTERN_CONF_RESTRICTIONS_H
#define POSTERN_CONF_RESTRICTIONS_H

#include "conf/config.h"

enum restriction_argument { RESTRICTION_NONE, RESTRICTION_TABLE, RESTRICTION_DOMAIN, RESTRICTION_NUMBER, RESTRICTION_WORD, RESTRICTION_POLICY };

/* restriction_known - whether a restriction has that name (any case); *argument (may be NULL) tells what has to follow it. */
bool restriction_known(struct slice name, enum restriction_argument *argument);
/* restriction_nearest - the known name that is spelt most like this one, NULL when none is near. */
const char *restriction_nearest(struct slice name);

#endif
