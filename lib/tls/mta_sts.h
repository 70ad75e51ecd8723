/* mta_sts.h - policies of domains about their MX hosts (RFC 8461): the TXT record that names one, the file that holds it, the hosts it names.  Pure
   functions over bytes from outside. */
#ifndef POSTERN_TLS_MTA_STS_H
#define POSTERN_TLS_MTA_STS_H

#include "base/arena.h"
#include "base/buffer.h"

enum {
    MTA_STS_TEXT_MAX = 48 * 1024,      /* bytes of a policy file (the RFC suggests 64 KB; what is remembered must fit in a store's value) */
    MTA_STS_PATTERNS_MAX = 200,        /* mx lines */
    MTA_STS_MAX_AGE = 31557600         /* seconds: longest life of a policy */
};

enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };

struct mta_sts_policy {
    enum mta_sts_mode mode;
    int64_t max_age;        /* seconds */
    struct slice *patterns; /* of the mx lines, lower case, without trailing dot */
    size_t pattern_count;
};

/* mta_sts_record - is the text of a TXT record "v=STSv1; id=...;", and which id?  *id is a part of text.  False: it is something else, or malformed. */
bool mta_sts_record(struct slice text, struct slice *id);
/* mta_sts_parse - the file.  False with *why.  Memory of the arena. */
bool mta_sts_parse(struct slice text, struct arena *arena, struct mta_sts_policy *policy, struct buffer *why);
/* mta_sts_matches - does a pattern of the policy (mta_sts_pattern_matches: this pattern) name the host?  "*.example.com" stands for exactly one label (RFC 8461 4.1). */
bool mta_sts_matches(const struct mta_sts_policy *policy, struct slice host);
bool mta_sts_pattern_matches(struct slice pattern, struct slice host);
const char *mta_sts_mode_name(enum mta_sts_mode mode); /* "none", "testing", "enforce" */

#endif
