/* template.h - $names in texts for the client: reject footers, replies of DNS lists */
#ifndef POSTERN_SMTPD_TEMPLATE_H
#define POSTERN_SMTPD_TEMPLATE_H

#include "session.h"

/* A name and value of the caller's own, looked at first. */
struct macro {
    const char *name;
    const char *value; /* NULL: undefined */
};

/* template_expand - append template with its $names replaced by facts of the session (compat.md d.1); bytes of values that
   smtpd_expansion_filter does not allow become "_".  False (logged) on bad syntax. */
bool template_expand(struct session *s, const char *template, const struct macro *macros, size_t count, struct buffer *out);

/* template_filter - the bytes that a list such as smtpd_expansion_filter, with its backslash escapes, allows. */
void template_filter(const char *filter, bool allowed[256]);

#endif
