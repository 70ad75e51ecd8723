/* driver.h (sasl) - between the files of this room: what a back end is */
#ifndef POSTERN_SASL_DRIVER_H
#define POSTERN_SASL_DRIVER_H

#include "sasl/server.h"

struct sasl_mechanism {
    char name[SASL_MECHANISM_MAX + 1]; /* upper case */
    unsigned properties;
};

struct sasl_exchange {
    struct sasl_server *server;
    struct arena *arena; /* of the exchange: what answers point to */
    struct sasl_peer peer;
    char mechanism[SASL_MECHANISM_MAX + 1];
    unsigned steps;      /* so far */
    struct slice login_user; /* LOGIN: as given (password.h) */
    void *state;         /* the driver's, in the arena */
};

struct sasl_driver {
    const char *type;
    void *(*open)(struct sasl_server *server);
    void (*close)(void *state);
    /* mechanisms - what there is, *count of them; NULL: the back end is down.  Waits. */
    const struct sasl_mechanism *(*mechanisms)(struct sasl_server *server, size_t *count);
    /* step - response is valid base64 or empty; has_response as in server.h.  Waits. */
    void (*step)(struct sasl_exchange *exchange, bool has_response, struct slice response, struct sasl_answer *answer);
    void (*end)(struct sasl_exchange *exchange); /* may be NULL */
    const char *unknown_mechanism;               /* what is said to a mechanism that there is not; NULL: "Invalid authentication mechanism" */
};

struct sasl_server {
    const struct sasl_driver *driver;
    void *state;
    struct sasl_server_settings settings;
    char *name;
};

extern const struct sasl_driver sasl_driver_dovecot, sasl_driver_file, sasl_driver_cyrus;

#endif
