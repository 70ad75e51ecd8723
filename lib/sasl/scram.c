/* scram.c - SCRAM: keys and messages */
#include "sasl/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/log.h"
#include "sasl/base64.h"

/* ---- keys ---- */

static const EVP_MD *digest(enum scram_hash hash)
{
    return hash == SCRAM_SHA_256 ? EVP_sha256() : EVP_sha1();
}

static size_t key_size(enum scram_hash hash)
{
    return hash == SCRAM_SHA_256 ? 32 : 20;
}

bool scram_salt(enum scram_hash hash, struct slice password, struct slice salt, unsigned iterations, struct scram_key *salted)
{
    salted->len = key_size(hash);
    return PKCS5_PBKDF2_HMAC(password.len ? password.data : "", (int)password.len, (const uint8_t *)salt.data, (int)salt.len, (int)iterations, digest(hash),
                             (int)salted->len, salted->bytes) == 1;
}

void scram_sign(enum scram_hash hash, const struct scram_key *key, struct slice message, struct scram_key *signature)
{
    unsigned len = 0;

    signature->len = key_size(hash);
    if (!HMAC(digest(hash), key->bytes, (int)key->len, (const uint8_t *)message.data, message.len, signature->bytes, &len))
        log_panic("HMAC failed");
}

void scram_hash_key(enum scram_hash hash, const struct scram_key *key, struct scram_key *result)
{
    result->len = key_size(hash);
    if (EVP_Digest(key->bytes, key->len, result->bytes, NULL, digest(hash), NULL) != 1)
        log_panic("EVP_Digest failed");
}

void scram_derive(enum scram_hash hash, const struct scram_key *salted, struct scram_key *client, struct scram_key *stored, struct scram_key *server)
{
    scram_sign(hash, salted, SLICE("Client Key"), client);
    scram_hash_key(hash, client, stored);
    scram_sign(hash, salted, SLICE("Server Key"), server);
}

bool scram_equal(const struct scram_key *a, const struct scram_key *b)
{
    return a->len == b->len && CRYPTO_memcmp(a->bytes, b->bytes, a->len) == 0;
}

void scram_xor(struct scram_key *a, const struct scram_key *b)
{
    for (size_t i = 0; i < a->len && i < b->len; i++)
        a->bytes[i] ^= b->bytes[i];
}

static bool decode(struct slice text, struct arena *arena, struct slice *bytes)
{
    struct buffer out = BUFFER_INIT_MAX(4096);
    bool good = text.len > 0 && base64_decode(text, &out) && !out.overflow;

    *bytes = arena_slice(arena, buffer_slice(&out));
    buffer_release(&out);
    return good;
}

static bool decode_key(struct slice text, size_t len, struct arena *arena, struct scram_key *key)
{
    struct slice bytes;

    if (!decode(text, arena, &bytes) || bytes.len > SCRAM_KEY_MAX || (len && bytes.len != len))
        return false;
    key->len = bytes.len;
    memcpy(key->bytes, bytes.data, bytes.len);
    return true;
}

static bool parse_iterations(struct slice text, unsigned *iterations)
{
    uint64_t value;

    if (!slice_to_u64(text, &value) || value == 0 || value > SCRAM_ITERATIONS_MAX)
        return false;
    *iterations = (unsigned)value;
    return true;
}

bool scram_verifier_parse(struct slice text, enum scram_hash hash, struct arena *arena, struct scram_verifier *verifier)
{
    struct slice part[4];

    for (size_t i = 0; i < 3; i++)
        if (!slice_cut(text, ',', &part[i], &text))
            return false;
    part[3] = text;
    verifier->hash = hash;
    return parse_iterations(part[0], &verifier->iterations) && decode(part[1], arena, &verifier->salt) && verifier->salt.len <= SCRAM_SALT_MAX &&
           decode_key(part[2], key_size(hash), arena, &verifier->stored) && decode_key(part[3], key_size(hash), arena, &verifier->server);
}

/* ---- messages ---- */

/* take - the next attribute, which must be name=value. */
static bool take(struct slice *rest, char name, struct slice *value)
{
    struct slice field = *rest;

    if (!slice_cut(*rest, ',', &field, rest))
        *rest = (struct slice){0};
    if (field.len < 2 || field.data[0] != name || field.data[1] != '=')
        return false;
    *value = slice_from(field, 2);
    return true;
}

/* unescape - "=2C" and "=3D" of a name; false for any other "=". */
static bool unescape(struct slice text, struct arena *arena, struct slice *name)
{
    char *out = arena_bytes(arena, text.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        struct slice rest = slice_from(text, i);
        bool comma = slice_starts_case(rest, SLICE("=2C")), equals = slice_starts_case(rest, SLICE("=3D"));
        if (text.data[i] == '=' && !comma && !equals)
            return false;
        out[len++] = comma ? ',' : equals ? '=' : text.data[i];
        i += comma || equals ? 2 : 0;
    }
    out[len] = '\0';
    *name = slice_make(out, len);
    return true;
}

static bool is_nonce(struct slice nonce)
{
    for (size_t i = 0; i < nonce.len; i++)
        if (nonce.data[i] < '!' || nonce.data[i] > '~' || nonce.data[i] == ',')
            return false;
    return nonce.len > 0 && nonce.len <= 256;
}

bool scram_parse_client_first(struct slice text, struct arena *arena, struct scram_client_first *m)
{
    struct slice rest, flag, authorization, user;

    memset(m, 0, sizeof(*m));
    if (!slice_cut(text, ',', &flag, &rest) || !slice_cut(rest, ',', &authorization, &m->bare))
        return false;
    if (!slice_equal(flag, SLICE("n")) && !slice_equal(flag, SLICE("y"))) /* "p": channel binding, which we did not offer */
        return false;
    m->header = slice_first(text, text.len - m->bare.len);
    if (authorization.len && (!slice_starts(authorization, SLICE("a=")) || !unescape(slice_from(authorization, 2), arena, &m->authorization)))
        return false;
    rest = m->bare;
    return take(&rest, 'n', &user) && unescape(user, arena, &m->user) && take(&rest, 'r', &m->nonce) && is_nonce(m->nonce);
}

bool scram_parse_client_final(struct slice text, struct arena *arena, struct scram_client_final *m)
{
    struct slice rest = text, header, proof;
    size_t comma = slice_find_last(text, ',');

    memset(m, 0, sizeof(*m));
    if (comma >= text.len || !take(&rest, 'c', &header) || !decode(header, arena, &m->header) || !take(&rest, 'r', &m->nonce) || !is_nonce(m->nonce))
        return false;
    m->without_proof = slice_first(text, comma);
    rest = slice_from(text, comma + 1);
    return take(&rest, 'p', &proof) && decode_key(proof, 0, arena, &m->proof);
}

bool scram_parse_server_first(struct slice text, struct arena *arena, struct scram_server_first *m)
{
    struct slice rest = text, salt, iterations;

    memset(m, 0, sizeof(*m));
    return take(&rest, 'r', &m->nonce) && is_nonce(m->nonce) && take(&rest, 's', &salt) && decode(salt, arena, &m->salt) && m->salt.len <= SCRAM_SALT_MAX &&
           take(&rest, 'i', &iterations) && parse_iterations(iterations, &m->iterations);
}

void scram_nonce(struct buffer *out)
{
    uint8_t bytes[18];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        log_fatal("no random numbers");
    base64_encode(out, slice_make(bytes, sizeof(bytes)));
}

void scram_name(struct buffer *out, struct slice user)
{
    for (size_t i = 0; i < user.len; i++) {
        if (user.data[i] == ',')
            buffer_append_string(out, "=2C");
        else if (user.data[i] == '=')
            buffer_append_string(out, "=3D");
        else
            buffer_append_byte(out, user.data[i]);
    }
}
