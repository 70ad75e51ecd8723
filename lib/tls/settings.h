/* settings.h (tls) - protocol versions and ciphers: from the words of main.cf and policies to what OpenSSL takes (compat.md g.7) */
#ifndef POSTERN_TLS_SETTINGS_H
#define POSTERN_TLS_SETTINGS_H

#include "tls/params.h"

/* Versions as bits, oldest first. */
enum { TLS_SSL2 = 1, TLS_SSL3 = 2, TLS_10 = 4, TLS_11 = 8, TLS_12 = 16, TLS_13 = 32, TLS_ALL_VERSIONS = 63 };

/* tls_versions_parse - bits of a list of names, "!name", ">=name", "<=name" (separators blank, comma, colon); -1: bad syntax, or nothing is left
   of the versions that the library has. */
int tls_versions_parse(struct slice list);

/* tls_cipher_list - the OpenSSL text for a grade ("high", "medium", "null"; "low" and "export" are medium) without what exclude
   and exclude_more list.  False: unknown grade. */
bool tls_cipher_list(const struct tls_params *params, struct slice grade, struct slice exclude, struct slice exclude_more, struct buffer *out);

#endif
