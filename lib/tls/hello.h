/* hello.h (tls) - what a client's hello asks for: the server's name (RFC 6066 3) and the protocol (RFC 7301); pure functions over bytes */
#ifndef POSTERN_TLS_HELLO_H
#define POSTERN_TLS_HELLO_H

#include "base/slice.h"

enum { TLS_NAME_MAX = 256 };

/* tls_hello_name - the host name of a server_name extension, in lower case; "" when there is none that could be one. */
void tls_hello_name(struct slice extension, char name[TLS_NAME_MAX]);

enum tls_protocol { TLS_PROTOCOL_SMTP, TLS_PROTOCOL_UNKNOWN, TLS_PROTOCOL_FOREIGN };
/* tls_hello_protocol - of a list of protocols, each behind its length: is SMTP among them (then *chosen is that element)?  FOREIGN: not, but one of those
   whose clients can only have been led here by a trick. */
enum tls_protocol tls_hello_protocol(struct slice list, struct slice *chosen);

#endif
