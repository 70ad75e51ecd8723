/* verifier.h - what a table says of a user, and whether a password fits it */
#ifndef POSTERN_SASL_VERIFIER_H
#define POSTERN_SASL_VERIFIER_H

#include "sasl/scram.h"

enum verifier_kind {
    VERIFIER_UNUSABLE, /* none of these */
    VERIFIER_DISABLED, /* begins with "!" or "*" */
    VERIFIER_CRYPT,    /* crypt(3), with or without {CRYPT} and its like in front */
    VERIFIER_SCRAM     /* {SCRAM-SHA-256} or {SCRAM-SHA-1} */
};

struct verifier {
    enum verifier_kind kind;
    const char *crypt; /* VERIFIER_CRYPT */
    struct scram_verifier scram;
};

/* verifier_parse - the value of a table; memory of the arena. */
void verifier_parse(struct slice value, struct arena *arena, struct verifier *verifier);

enum verifier_result { VERIFIER_FITS, VERIFIER_WRONG, VERIFIER_BROKEN /* crypt(3) does not know that kind of hash */ };
/* verifier_check - hashing takes long: in the thread pool.  Waits. */
enum verifier_result verifier_check(const struct verifier *verifier, struct slice password);

#endif
