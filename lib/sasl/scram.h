/* scram.h - SCRAM (RFC 5802, RFC 7677): keys, and parsers of its messages; for both ends, without channel binding */
#ifndef POSTERN_SASL_SCRAM_H
#define POSTERN_SASL_SCRAM_H

#include "base/arena.h"
#include "base/buffer.h"

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256 };
enum { SCRAM_KEY_MAX = 32, SCRAM_ITERATIONS_MAX = 1000000 /* what a server or a table may ask of us */, SCRAM_SALT_MAX = 1024 };

struct scram_key {
    size_t len; /* 20 or 32 */
    uint8_t bytes[SCRAM_KEY_MAX];
};

/* What is stored of a password: enough to check it, not enough to log in elsewhere. */
struct scram_verifier {
    enum scram_hash hash;
    unsigned iterations;
    struct slice salt;
    struct scram_key stored, server;
};

/* scram_salt - the expensive part: SaltedPassword.  May run in another thread.  False: OpenSSL failed. */
bool scram_salt(enum scram_hash hash, struct slice password, struct slice salt, unsigned iterations, struct scram_key *salted) MUST_CHECK;
/* scram_derive - HMAC(salted, "Client Key"), its hash (StoredKey), and HMAC(salted, "Server Key"). */
void scram_derive(enum scram_hash hash, const struct scram_key *salted, struct scram_key *client, struct scram_key *stored, struct scram_key *server);
/* scram_sign - HMAC(key, message).  scram_hash_key - H(key).  scram_equal - in constant time. */
void scram_sign(enum scram_hash hash, const struct scram_key *key, struct slice message, struct scram_key *signature);
void scram_hash_key(enum scram_hash hash, const struct scram_key *key, struct scram_key *result);
bool scram_equal(const struct scram_key *a, const struct scram_key *b);
/* scram_xor - a ^= b: proof and key are each other's cover. */
void scram_xor(struct scram_key *a, const struct scram_key *b);

/* scram_verifier_parse - "iterations,salt,StoredKey,ServerKey" (the latter three base64), as Dovecot stores it after {SCRAM-SHA-256}. */
bool scram_verifier_parse(struct slice text, enum scram_hash hash, struct arena *arena, struct scram_verifier *verifier) MUST_CHECK;

/* The client's messages.  Strings are views or memory of the arena. */
struct scram_client_first {
    struct slice header; /* "n,," */
    struct slice bare;   /* what follows it */
    struct slice authorization, user, nonce;
};
struct scram_client_final {
    struct slice without_proof;
    struct slice header; /* decoded c= */
    struct slice nonce;
    struct scram_key proof;
};
struct scram_server_first {
    struct slice nonce, salt;
    unsigned iterations;
};
bool scram_parse_client_first(struct slice text, struct arena *arena, struct scram_client_first *message) MUST_CHECK;
bool scram_parse_client_final(struct slice text, struct arena *arena, struct scram_client_final *message) MUST_CHECK;
bool scram_parse_server_first(struct slice text, struct arena *arena, struct scram_server_first *message) MUST_CHECK;
/* scram_nonce - append a fresh one.  scram_name - append a user name with "," and "=" escaped. */
void scram_nonce(struct buffer *out);
void scram_name(struct buffer *out, struct slice user);

#endif
