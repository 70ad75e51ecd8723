/* report_record.h - where a domain wants reports about TLS to go: the TXT record of _smtp._tls (RFC 8460 3).  A pure function. */
#ifndef POSTERN_TLS_REPORT_RECORD_H
#define POSTERN_TLS_REPORT_RECORD_H

#include "base/arena.h"

enum { TLS_REPORT_TARGETS_MAX = 10 };

struct tls_report_target {
    bool web;             /* true: an https URL; false: an address */
    struct slice address; /* "user@domain", or the URL as it is */
};

/* tls_report_record - "v=TLSRPTv1; rua=mailto:a@b,https://c/d": how many of its targets can be used (the others are left out); -1: the text is no such
   record.  targets has room for TLS_REPORT_TARGETS_MAX; memory of the arena. */
int tls_report_record(struct slice text, struct arena *arena, struct tls_report_target *targets);

#endif
