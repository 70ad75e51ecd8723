/* client.h (tls) - TLS for those who connect: levels, names, fingerprints, DANE, sessions remembered */
#ifndef POSTERN_TLS_CLIENT_H
#define POSTERN_TLS_CLIENT_H

#include "net/stream.h"
#include "tls/facts.h"
#include "tls/files.h"
#include "tls/params.h"
#include "tls/policy.h"

struct tls_client;

/* A TLSA record. */
struct tls_anchor {
    uint8_t usage, selector, matching;
    struct slice data;
};

struct tls_connect {
    const struct tls_policy *policy;
    const char *peer;             /* for the log: "host[address]:port" */
    const char *host;             /* name of the server */
    const char *next_hop;         /* the domain that the mail is for, without brackets and port */
    const struct tls_anchor *anchors; /* at levels dane and dane-only */
    size_t anchor_count;
    const char *anchor_domain;    /* what the anchors were found under: the reference name and the SNI */
    bool insecure_mx;             /* the name of the host was not validated: what DANE says is no proof of more */
    const char *web_host;         /* not NULL: the certificate is looked at for this name, with the authorities of the web (MTA-STS) */
    void (*look)(void *context, SSL *ssl); /* at the connection after the handshake (posttls-finger); NULL */
    void *look_context;
};

/* How it came out. */
enum tls_connected {
    TLS_CONNECTED,
    TLS_NOT_VERIFIED,    /* the handshake is done, but the server is not proven to be the right one, which the level demands */
    TLS_NO_HANDSHAKE,
    TLS_NOT_POSSIBLE     /* bad settings, or the engine is not available */
};

/* tls_client_new - as tls_server_new. */
struct tls_client *tls_client_new(const struct tls_params *params, const struct tls_file_access *access) MUST_CHECK;
void tls_client_free(struct tls_client *client);
/* tls_client_trust_web - the file of the authorities of the web: before the sandbox closes; it is read again when it changes. */
void tls_client_trust_web(struct tls_client *client, const char *path);
/* tls_client_know_anchors - read what entries of a policy table name (tafile=): before the sandbox closes.  An entry with other files cannot be used. */
void tls_client_know_anchors(struct tls_client *client, struct slice files);
/* tls_client_has_anchors - can those that the policy names, or those for all, be believed?  Logs why not.  tls_client_fingerprints - how many there are to
   match; what is none is logged. */
bool tls_client_has_anchors(const struct tls_client *client, const struct tls_policy *policy);
size_t tls_client_fingerprints(const struct tls_client *client, const struct tls_policy *policy);
bool tls_client_is_ready(const struct tls_client *client);
/* tls_client_connect - the handshake; logs the outcome as "... to PEER".  Afterwards the stream speaks TLS, unless it failed.  facts: in
   the arena.  Waits. */
enum tls_connected tls_client_connect(struct tls_client *client, struct stream *stream, const struct tls_connect *connect, int64_t timeout,
                                      struct arena *arena, struct tls_facts *facts);
/* tls_anchor_is_usable - usages and types that RFC 7672 lets SMTP use. */
bool tls_anchor_is_usable(const struct tls_anchor *anchor);

#endif
