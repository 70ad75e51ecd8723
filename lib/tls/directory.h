/* directory.h (tls) - a directory of keys and certificates; which names each is for is read from the certificate itself

   An entry is a file NAME.pem with a key, its certificate and the issuers, or a subdirectory with privkey.pem and fullchain.pem (as certbot makes them). */
#ifndef POSTERN_TLS_DIRECTORY_H
#define POSTERN_TLS_DIRECTORY_H

#include <openssl/ssl.h>

#include "tls/files.h"

struct tls_directory;

/* tls_directory_open - read all entries that are there: before the sandbox closes.  make gives a context without key and certificate, or NULL.
   What is no good is logged and left out.  NULL (logged): there is no such directory. */
struct tls_directory *tls_directory_open(const char *path, const struct tls_file_access *access, SSL_CTX *(*make)(void *arg), void *arg);
void tls_directory_free(struct tls_directory *d);
/* tls_directory_find - the context for a host name in lower case: an exact name, or "*.parent"; NULL: none.  tls_directory_first - of the first entry by
   name of file; NULL: there is no entry. */
SSL_CTX *tls_directory_find(const struct tls_directory *d, const char *name);
SSL_CTX *tls_directory_first(const struct tls_directory *d);
/* tls_directory_refresh - entries whose files have changed are read again (all: every entry); one that is no good stays as it was, which is logged.
   True: something is new.  Files that were added are not seen.  Waits. */
bool tls_directory_refresh(struct tls_directory *d, bool all);

#endif
