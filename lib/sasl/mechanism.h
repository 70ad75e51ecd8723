/* mechanism.h - SASL mechanisms by name, what can be said of them, and which of them a configuration lets in */
#ifndef POSTERN_SASL_MECHANISM_H
#define POSTERN_SASL_MECHANISM_H

#include "base/slice.h"

enum { SASL_MECHANISM_MAX = 20 /* bytes of a name (RFC 4422 3.1) */ };

/* What a mechanism is, in the words of the Dovecot protocol and of the *_sasl_security_options parameters. */
enum {
    SASL_PLAINTEXT = 1,       /* the password is sent */
    SASL_ACTIVE = 2,          /* open to active attacks without dictionary */
    SASL_DICTIONARY = 4,      /* open to passive dictionary attacks */
    SASL_ANONYMOUS = 8,
    SASL_FORWARD_SECRECY = 16,
    SASL_MUTUAL_AUTH = 32,
    SASL_PRIVATE = 64         /* of the back end's own use: never offered */
};

/* noplaintext, noanonymous, ... forbid properties; forward_secrecy, mutual_auth demand them. */
struct sasl_security {
    unsigned forbidden, required;
};

/* sasl_security_parse - of the value of a *_sasl_security_options parameter; fatal for a word that does not exist. */
struct sasl_security sasl_security_parse(const char *value, const char *parameter);
bool sasl_security_allows(struct sasl_security security, unsigned properties);
/* sasl_property - the bit of "plaintext", "forward-secrecy", ...; 0: unknown. */
unsigned sasl_property(struct slice word);
/* sasl_mechanism_properties - of a mechanism by its name; one that is not known here is nothing in particular. */
unsigned sasl_mechanism_properties(struct slice name);
/* sasl_mechanism_is_name - 1 to 20 letters (any case), digits, "-", "_". */
bool sasl_mechanism_is_name(struct slice name);

#endif
