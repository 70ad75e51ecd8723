/* service.h - what every daemon's main() stands on: one call with a table

   Arguments (Postfix's conventions, compat.md b.2): -n name, -t type, -c chroot, -u unprivileged, -l / -z process limit 1 / 0, -s sockets,
   -d not detached, -D debug, -v verbose, -V log to stderr, -o name=value, -S stand-alone, -i instance limit; the rest are the service's own words.
   Descriptors from master: 3 log, 4 statistics page (memfd, shared), 5 status channel, 6.. listening sockets; the number of sockets is -s n
   (default 1).  Everything else is closed.  Master going away (end of file on the status channel) ends the process. */
#ifndef POSTERN_SERVICE_SERVICE_H
#define POSTERN_SERVICE_SERVICE_H

#include "conf/config.h"
#include "ipc/lane.h"
#include "net/address.h"
#include "net/stream.h"
#include "run/run.h"

struct service_context {
    struct config *config;
    const char *service_name;  /* master.cf name: "smtp", "127.0.0.1:10025", "relay" */
    const char *transport;     /* the same without host:port: what <transport>_ parameters use */
    const char *service_type;  /* "inet", "unix", "pass", ... */
    const char *queue_directory; /* ".": the process is there, in its jail too */
    const char *const *arguments; /* the service's own words (pipe: flags=, argv=...) */
    size_t argument_count;
    unsigned worker;           /* 0..63, unique among live workers of this service */
    bool single_client;        /* process_limit or client limit is 1 */
    bool privileged;           /* started as root and master.cf says unpriv n */
    bool running_as_root;      /* false: whole system runs as one ordinary user */
    bool stress;               /* changes while an event-driven service runs */
    void *state;               /* the program's own */
};

/* One accepted connection. */
struct service_client {
    struct stream *stream;
    struct net_address peer, local;
    const char *socket_name;   /* unix: last path element of the listening socket ("qmgr", "showq"); inet: NULL */
    int interruptible;         /* INTERRUPTIBLE_: see service_interruptible */
    void (*interrupted)(struct service_client *client); /* see service_park; NULL: a fiber serves it */
    void *state;               /* the program's own, while it is parked */
};

enum { INTERRUPTIBLE_NEVER, INTERRUPTIBLE_AT_STOP, INTERRUPTIBLE_AT_DRAIN };

enum { SERVICE_MANY_CLIENTS = 1, /* event-driven: thousands of clients per worker; otherwise one at a time (may block and change user id) */
       SERVICE_SINGLE = 2,       /* one worker only (qmgr, pickup, anvil) */
       SERVICE_NO_FILES = 4,     /* seccomp/Landlock after start: no open, exec, fork, ptrace (smtpd, smtp) */
       SERVICE_NEVER_IDLE_EXIT = 8,
       SERVICE_PRIVILEGED = 16,  /* needs unpriv n (local, virtual, pipe, spawn) */
       SERVICE_RELOADS = 32,     /* re-reads in place through reload() instead of being replaced */
       SERVICE_STAND_ALONE = 64, /* understands -S */
       SERVICE_ENDS_LAST = 128   /* when the system stops its end hook may wait for what others still finish (qmgr: results of deliveries) */ };

struct service {
    const char *name; /* program: "smtpd" */
    int flags;
    /* open - before privileges go: parameters, tables, keys.  Runs outside fibers' I/O restrictions, may block. */
    void (*open)(struct service_context *context);
    /* start - after privileges are gone, in a fiber; optional: start background fibers, lanes. */
    void (*start)(struct service_context *context);
    /* serve - one connection, in a fiber of its own; the skeleton frees client->stream afterwards unless serve set it to NULL. */
    void (*serve)(struct service_context *context, struct service_client *client);
    /* datagram - unix-dgram services: one datagram; optional. */
    void (*datagram)(struct service_context *context, struct slice data);
    /* reload - SERVICE_RELOADS: context->config is the new one (the old is freed by the skeleton after the call). */
    void (*reload)(struct service_context *context);
    /* drain - told to finish (reload of others, stop): optional; the skeleton stops accepting and exits when no client is left. */
    void (*drain)(struct service_context *context);
    /* end - in a fiber, after the last client, just before the process exits; optional. */
    void (*end)(struct service_context *context);
    /* stand_alone - -S: dialogue on stdin/stdout as the caller. */
    int (*stand_alone)(struct service_context *context, struct stream *stream);
};

int service_main(int argc, char **argv, const struct service *service);
/* service_is_draining - long dialogues may look whether they should end soon. */
bool service_is_draining(void);
/* service_is_stopping - the whole system stops (or master is gone): what can be cut short should be. */
bool service_is_stopping(void);
/* service_client_count - connections being served now. */
unsigned service_client_count(void);
/* service_request_replacement - ask master for a fresh process in this one's place (a lookup table changed, "why" is logged): this
   one is told to drain once the new one is ready.  Asking again is harmless. */
void service_request_replacement(const char *why);

/* service_interruptible - from now on the client's waits may be ended (WAIT_CANCELLED, STREAM_CANCELLED) when the service drains or stops:
   around the wait for the next request or command.  INTERRUPTIBLE_NEVER ends that.  Only a wait is interrupted, never a fiber about to run. */
void service_interruptible(struct service_client *client, int when);
/* service_receive - lane_receive for the next request of an idle lane: the drain of the service ends the wait, and 0 (nothing came until the
   deadline) or -1 (close the lane) are returned as by lane_receive.  Waits. */
int service_receive(struct service_client *client, struct lane *lane, struct arena *arena, void **value, int64_t deadline);

/* service_park - in serve, just before it returns: the fiber ends with it, the connection stays, and the program watches it from the loop (a client
   that only waits costs no stack).  interrupted is called on the loop's stack when the service stops (or drains: client->interruptible).  False: it
   stops already, let it end.
   service_resume - go on with a parked connection in a new fiber, as serve does; the connection ends with it unless it is parked again.
   service_end - a parked connection is over. */
bool service_park(struct service_client *client, void (*interrupted)(struct service_client *client)) MUST_CHECK;
void service_resume(struct service_client *client, void (*serve)(struct service_context *context, struct service_client *client));
void service_end(struct service_client *client);

/* Identity switching for one-client services (no effect when not root): service_become - effective uid/gid with supplementary groups dropped; 0 or -1.
   service_become_root - back to root. */
int service_become(uid_t uid, gid_t gid);
void service_become_root(void);

#endif
