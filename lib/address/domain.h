/* domain.h - domain syntax (private to this room) */
#ifndef POSTERN_ADDRESS_DOMAIN_H
#define POSTERN_ADDRESS_DOMAIN_H

#include "base/slice.h"

/* domain_syntax - as domain_is_valid of mail_address.h, but an all-numeric name passes: whether it is good depends on
   resolve_numeric_domain. */
bool domain_syntax(struct slice domain, const char **why);

#endif
