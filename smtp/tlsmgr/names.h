/* names.h - domains as they are asked for in DNS and on the web */
#ifndef POSTERN_TLSMGR_NAMES_H
#define POSTERN_TLSMGR_NAMES_H

#include "base/arena.h"

enum { DOMAIN_NAME_MAX = 253 };

/* domain_name - in small letters, with A-labels, without trailing dot.  False: it is no name of a domain (a single label is none). */
bool domain_name(struct slice given, struct arena *arena, struct slice *name);

#endif
