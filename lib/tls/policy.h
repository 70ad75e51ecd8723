/* policy.h (tls) - how much TLS a destination needs: levels, and the entries of smtp_tls_policy_maps (compat.md g.1) */
#ifndef POSTERN_TLS_POLICY_H
#define POSTERN_TLS_POLICY_H

#include "base/arena.h"
#include "base/buffer.h"

/* Weakest first. */
enum tls_level { TLS_NONE, TLS_MAY, TLS_ENCRYPT, TLS_DANE, TLS_DANE_ONLY, TLS_FINGERPRINT, TLS_VERIFY, TLS_SECURE };

struct tls_policy {
    enum tls_level level;
    struct slice protocols, ciphers, exclude; /* empty: as configured for the level */
    bool has_exclude;
    struct slice match;       /* names or fingerprints, separated by ":" (names) or "|" */
    struct slice server_name; /* SNI; empty: none asked for here */
    struct slice anchor_files; /* tafile=: whose certificates stand in for the authorities; lines */
    int connection_reuse;     /* 1 yes, 0 no, -1 as configured */
    /* What a plug-in for MTA-STS says of the policy behind the entry; empty: nothing. */
    struct slice policy_type, policy_domain, policy_strings, mx_patterns, policy_failure; /* strings, patterns: lines */
};

/* tls_level_parse - false: no such level.  tls_level_name - "may". */
bool tls_level_parse(struct slice name, enum tls_level *level);
const char *tls_level_name(enum tls_level level);
/* tls_level_authenticates - the server must show who it is. */
static inline bool tls_level_authenticates(enum tls_level level) { return level >= TLS_DANE; }

/* tls_server_name_is_valid - of SNI: a host name, or "hostname", "nexthop". */
bool tls_server_name_is_valid(struct slice name);
/* tls_policy_parse - "level name=value ...": fills *policy with slices of the arena.  False with *why: the entry cannot be used.
   True with *why: it can, but part of it says nothing. */
bool tls_policy_parse(struct slice text, struct arena *arena, struct tls_policy *policy, struct buffer *why);

#endif
