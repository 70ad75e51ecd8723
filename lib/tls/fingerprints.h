/* fingerprints.h - lists of fingerprints that a server's certificate or key may have */
#ifndef POSTERN_TLS_FINGERPRINTS_H
#define POSTERN_TLS_FINGERPRINTS_H

#include "base/buffer.h"
#include "tls/facts.h"

enum fingerprints_found { FINGERPRINTS_UNUSABLE, FINGERPRINTS_DIFFER, FINGERPRINTS_MATCH };

/* fingerprint_parse - pairs of hexadecimal digits, with or without colons between them -> capitals without colons.  False: it is nothing of the kind. */
bool fingerprint_parse(struct slice word, struct buffer *hexadecimal);
/* fingerprints_count - how many of a list are some; the others are logged.  separators: between its words. */
size_t fingerprints_count(struct slice list, const char *separators);
/* fingerprints_compare - with those of the certificate and of its key.  Those of another length, which another digest made, are logged, as if they were
   the TLSA records that Postfix makes of them: UNUSABLE when there are no others. */
enum fingerprints_found fingerprints_compare(struct slice list, const char *separators, const struct tls_facts *facts, const char *peer);

#endif
