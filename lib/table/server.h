/* server.h - a connection to a table server that is kept for the next lookup (socketmap, tcp) */
#ifndef POSTERN_TABLE_SERVER_H
#define POSTERN_TABLE_SERVER_H

#include "net/address.h"
#include "net/stream.h"
#include "run/run.h"
#include "table/driver.h"

struct server {
    struct slice host; /* or the path of a socket */
    struct net_address known; /* of a host name: what it was at the last success; len 0: never */
    uint16_t port;     /* 0: a Unix socket */
    struct stream *stream;
    int64_t opened, used; /* clock_monotonic */
    bool busy;
    struct condition idle; /* one lookup at a time on a connection */
};

/* server_parse - "inet:host:port", "host:port" (when plain), "unix:path".  False: bad syntax; memory of the caller's text.
   A host may be a name: it is resolved here, and again at each connection where that is possible (not in a sandbox). */
bool server_parse(struct server *server, struct slice endpoint, bool plain);
/* server_begin - wait for the connection to be free, (re)connect when needed.  False with why in *why.  server_end - free for the next; broken: close. Wait. */
bool server_begin(struct server *server, int64_t timeout, const char **why);
void server_end(struct server *server, bool broken);
void server_close(struct server *server);
/* server_not_now - what postmap says of a temporary failure that the log has the details of. */
const char *server_not_now(void);

#endif
