/* dovecot_reply.h - one line that Dovecot's authentication service says (compat.md h.2): a pure parser of outside text */
#ifndef POSTERN_SASL_DOVECOT_REPLY_H
#define POSTERN_SASL_DOVECOT_REPLY_H

#include "base/arena.h"

enum dovecot_verb {
    DOVECOT_UNKNOWN, DOVECOT_VERSION, DOVECOT_MECH, DOVECOT_SPID, DOVECOT_DONE, /* the handshake */
    DOVECOT_CONT, DOVECOT_OK, DOVECOT_FAIL
};

struct dovecot_reply {
    enum dovecot_verb verb;
    uint64_t id;             /* CONT, OK, FAIL; of VERSION the major number */
    struct slice challenge;  /* CONT: base64 */
    struct slice mechanism;  /* MECH */
    unsigned properties;     /* MECH: SASL_ bits */
    struct slice user, reason, code; /* empty: not given */
    bool temporary, disabled, expired, authorization; /* FAIL: what the back end tells of the cause */
};

/* dovecot_reply_parse - line without LF; strings are views of it or, where something was escaped, memory of the arena.  False: a verb that we know with
   arguments that cannot be. */
bool dovecot_reply_parse(struct slice line, struct arena *arena, struct dovecot_reply *reply) MUST_CHECK;
/* dovecot_escape - append a value with the bytes that separate values escaped. */
struct buffer;
void dovecot_escape(struct buffer *out, struct slice value);

#endif
