/* server.h (sasl) - who may log in: one interface to the back ends that know passwords

   A back end is Dovecot's authentication service (smtpd_sasl_type = dovecot), saslauthd (cyrus) or a table (file).  An exchange is one AUTH command: the caller passes on what the
   client says, base64 as it came, until the outcome is known, and gets with it which layer decided, for the administrator's eyes. */
#ifndef POSTERN_SASL_SERVER_H
#define POSTERN_SASL_SERVER_H

#include "base/arena.h"
#include "base/buffer.h"
#include "conf/config.h"
#include "sasl/mechanism.h"

struct sasl_server;
struct sasl_exchange;

struct sasl_server_settings {
    const char *type;         /* "dovecot", "file", "cyrus" */
    const char *path;         /* socket ("private/auth", "inet:host:port"), or table ("hash:/etc/postfix/users") */
    const char *service;      /* "smtp": told to Dovecot */
    const char *local_domain; /* appended to user names without one; "" */
    struct config *config;
};

/* Who asks. */
struct sasl_peer {
    const char *server_address, *client_address; /* numeric */
    bool secured;                                /* the session is encrypted */
    struct sasl_security security;               /* what is allowed in this session */
    struct sasl_security security_encrypted;     /* what would be under TLS: to explain refusals */
};

enum sasl_outcome {
    SASL_CONTINUE,  /* challenge goes to the client */
    SASL_OK,        /* user is who he says */
    SASL_FAILED,
    SASL_TEMPORARY  /* the back end cannot tell now */
};

/* The layer that decided: SASL_LAYERS(X) name in log lines, what it means, what mends it (also docs/errors/535.md). */
#define SASL_LAYERS(X) \
    X(NONE, "", "", "") \
    X(CLEARTEXT, "cleartext", "this mechanism is not allowed without TLS", "let the client use STARTTLS (port 587) or TLS (port 465)") \
    X(MECHANISM, "mechanism", "the mechanism is not offered", "let the client choose another, or offer this one") \
    X(ENCODING, "encoding", "the client's answer is not what the mechanism prescribes", "nothing at the server: the client is broken") \
    X(BACKEND_DOWN, "backend-down", "the back end does not answer", "start it; look at smtpd_sasl_path, and at owner and mode of the socket") \
    X(BACKEND_TROUBLE, "backend-trouble", "the back end reports a temporary trouble of its own", "look at the back end's log") \
    X(UNKNOWN_USER, "unknown-user", "there is no such user", "add the user to the table and run postmap, or log in by the name that is there") \
    X(WRONG_PASSWORD, "wrong-password", "the password is wrong", "set a new one, in the table or in the client") \
    X(CREDENTIALS, "credentials", "unknown user or wrong password: the back end does not say which, its own log may", \
      "ask the back end: doveadm auth test USER, or testsaslauthd -u USER") \
    X(DISABLED, "disabled", "the account is disabled", "enable it, if that is wanted") \
    X(EXPIRED, "expired", "the password has expired", "set a new one") \
    X(AUTHORIZATION, "authorization", "the user may not act as the one he asks for", "leave the authorization name empty in the client") \
    X(VERIFIER, "verifier", "what is stored for the user does not serve this mechanism", "store {SCRAM-SHA-256} or a crypt(3) hash") \
    X(NO_SCRAM, "no-scram-secret", "the user's entry has no SCRAM secret, only a hash for PLAIN and LOGIN: offer no SCRAM (smtpd_sasl_mechanism_filter), or store one", \
      "let the client use PLAIN or LOGIN over TLS, or offer no SCRAM (smtpd_sasl_mechanism_filter = !scram-sha-256, static:rest), or store {SCRAM-SHA-256} (doveadm pw -s SCRAM-SHA-256)") \
    X(ABORTED, "aborted", "the client gave up", "")

enum sasl_layer {
#define LAYER(id, name, meaning, mend) SASL_LAYER_##id,
    SASL_LAYERS(LAYER)
#undef LAYER
    SASL_LAYER_COUNT
};
const char *sasl_layer_name(enum sasl_layer layer);
const char *sasl_layer_meaning(enum sasl_layer layer);
const char *sasl_layer_mend(enum sasl_layer layer);

struct sasl_answer {
    enum sasl_outcome outcome;
    enum sasl_layer layer;
    struct slice challenge; /* base64 */
    struct slice reason;    /* safe to be shown to the client; empty: none */
    struct slice user;      /* as far as known */
};

/* sasl_server_new - opens tables: before the sandbox closes.  Fatal for a type that does not exist; of what is not supported it is said so,
   and everybody is refused for the time being. */
struct sasl_server *sasl_server_new(const struct sasl_server_settings *settings) MUST_CHECK;
void sasl_server_free(struct sasl_server *server);
/* sasl_server_name - "dovecot:private/auth", for the log. */
const char *sasl_server_name(const struct sasl_server *server);
/* sasl_server_mechanisms - append the names that are offered under these rules, each followed by what separator says between them.  False: the back end is down (logged).  Waits. */
bool sasl_server_mechanisms(struct sasl_server *server, struct sasl_security security, struct buffer *names);

/* sasl_exchange_new - mechanism in any case.  Strings of peer must outlive the exchange.  sasl_exchange_step - the client's words in base64: has_response false
   when AUTH came without an initial response (an empty one is "="), always true later.  Slices of the answer live until the next step or the end of the exchange.  sasl_exchange_free - also of one
   that was given up.  Waits. */
struct sasl_exchange *sasl_exchange_new(struct sasl_server *server, struct slice mechanism, const struct sasl_peer *peer) MUST_CHECK;
void sasl_exchange_step(struct sasl_exchange *exchange, bool has_response, struct slice response, struct sasl_answer *answer);
void sasl_exchange_free(struct sasl_exchange *exchange);

#endif
