/* client.c (sasl) - the client's half of the mechanisms */
#include "sasl/client.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "run/run.h"
#include "sasl/base64.h"
#include "sasl/scram.h"

enum { STEPS_MAX = 8 };

struct sasl_client {
    const struct mechanism *mechanism;
    struct arena *arena;
    struct sasl_credentials credentials;
    unsigned steps;
    bool satisfied;
    struct slice bare, nonce;     /* SCRAM */
    struct scram_key signature;   /* what the server has to say */
    bool proof_sent;
};

/* One mechanism.  begin - the initial response, false: none; step - the answer to a challenge.  Both append plain bytes. */
struct mechanism {
    const char *name;
    bool bearer;
    enum scram_hash hash;
    bool (*begin)(struct sasl_client *c, struct buffer *out);
    bool (*step)(struct sasl_client *c, struct slice challenge, struct buffer *out);
};

/* ---- PLAIN, LOGIN ---- */

static bool begin_plain(struct sasl_client *c, struct buffer *out)
{
    if (c->credentials.send_authorization)
        buffer_append_slice(out, c->credentials.user);
    buffer_append_byte(out, '\0');
    buffer_append_slice(out, c->credentials.user);
    buffer_append_byte(out, '\0');
    buffer_append_slice(out, c->credentials.password);
    c->satisfied = true;
    return true;
}

/* step_plain - servers that ignore the initial response ask for it. */
static bool step_plain(struct sasl_client *c, struct slice challenge, struct buffer *out)
{
    return challenge.len == 0 && c->steps == 1 && begin_plain(c, out);
}

static bool begin_nothing(struct sasl_client *c UNUSED, struct buffer *out UNUSED)
{
    return false;
}

static bool step_login(struct sasl_client *c, struct slice challenge UNUSED, struct buffer *out)
{
    if (c->steps > 2)
        return false;
    buffer_append_slice(out, c->steps == 1 ? c->credentials.user : c->credentials.password); /* whatever words they are asked for with */
    c->satisfied = c->steps == 2;
    return true;
}

/* ---- CRAM-MD5 ---- */

static bool step_cram(struct sasl_client *c, struct slice challenge, struct buffer *out)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (c->steps != 1 || challenge.len == 0 || c->credentials.password.len > INT_MAX ||
        !HMAC(EVP_md5(), c->credentials.password.data ? c->credentials.password.data : "", (int)c->credentials.password.len, (const uint8_t *)challenge.data,
              challenge.len, digest, &len))
        return false;
    buffer_append_slice(out, c->credentials.user);
    buffer_append_byte(out, ' ');
    for (unsigned i = 0; i < len; i++)
        buffer_printf(out, "%02x", digest[i]);
    c->satisfied = true;
    return true;
}

/* ---- tokens ---- */

static bool begin_xoauth2(struct sasl_client *c, struct buffer *out)
{
    buffer_printf(out, "user=" SLICE_FORMAT "\001auth=Bearer " SLICE_FORMAT "\001\001", SLICE_ARGS(c->credentials.user), SLICE_ARGS(c->credentials.password));
    c->satisfied = true;
    return true;
}

static bool begin_oauthbearer(struct sasl_client *c, struct buffer *out)
{
    buffer_append_string(out, "n,a=");
    scram_name(out, c->credentials.user);
    buffer_printf(out, ",\001host=%s\001port=%u\001auth=Bearer " SLICE_FORMAT "\001\001", c->credentials.host ? c->credentials.host : "",
                  c->credentials.port, SLICE_ARGS(c->credentials.password));
    c->satisfied = true;
    return true;
}

/* step_refused - the challenge tells why the token is no good; the refusal itself comes after our answer. */
static bool step_refused(struct sasl_client *c, struct slice challenge UNUSED, struct buffer *out)
{
    if (c->steps != 1)
        return false;
    if (c->mechanism->name[0] == 'O')
        buffer_append_byte(out, '\001');
    return true;
}

/* ---- SCRAM ---- */

static bool begin_scram(struct sasl_client *c, struct buffer *out)
{
    struct buffer nonce = BUFFER_INIT, bare = BUFFER_INIT;

    scram_nonce(&nonce);
    buffer_append_string(&bare, "n=");
    scram_name(&bare, c->credentials.user);
    buffer_printf(&bare, ",r=%s", buffer_string(&nonce));
    c->nonce = arena_slice(c->arena, buffer_slice(&nonce));
    c->bare = arena_slice(c->arena, buffer_slice(&bare));
    buffer_append_string(out, "n,");
    if (c->credentials.send_authorization) {
        buffer_append_string(out, "a=");
        scram_name(out, c->credentials.user);
    }
    buffer_append_byte(out, ',');
    buffer_append_slice(out, c->bare);
    buffer_release(&nonce);
    buffer_release(&bare);
    return true;
}

struct salting {
    enum scram_hash hash;
    struct slice password, salt;
    unsigned iterations;
    struct scram_key salted;
    bool good;
};

static void salt(void *arg)
{
    struct salting *s = arg;

    s->good = scram_salt(s->hash, s->password, s->salt, s->iterations, &s->salted);
}

/* header - "n,," or "n,a=user,": what c= repeats. */
static void append_header(const struct sasl_client *c, struct buffer *out)
{
    struct buffer header = BUFFER_INIT;

    buffer_append_string(&header, "n,");
    if (c->credentials.send_authorization) {
        buffer_append_string(&header, "a=");
        scram_name(&header, c->credentials.user);
    }
    buffer_append_byte(&header, ',');
    base64_encode(out, buffer_slice(&header));
    buffer_release(&header);
}

static void append_proof(struct sasl_client *c, const struct salting *s, struct slice server_first, struct buffer *out)
{
    enum scram_hash hash = c->mechanism->hash;
    struct scram_key client, stored, server, proof;
    struct slice text = arena_format(c->arena, SLICE_FORMAT "," SLICE_FORMAT ",%s", SLICE_ARGS(c->bare), SLICE_ARGS(server_first), buffer_string(out));

    scram_derive(hash, &s->salted, &client, &stored, &server);
    scram_sign(hash, &stored, text, &proof);
    scram_xor(&proof, &client);
    scram_sign(hash, &server, text, &c->signature);
    buffer_append_string(out, ",p=");
    base64_encode(out, slice_make(proof.bytes, proof.len));
    OPENSSL_cleanse(&client, sizeof(client));
}

static bool answer_first(struct sasl_client *c, struct slice challenge, struct buffer *out)
{
    struct scram_server_first first;

    if (!scram_parse_server_first(arena_slice(c->arena, challenge), c->arena, &first) || !slice_starts(first.nonce, c->nonce) || first.nonce.len == c->nonce.len)
        return false;
    struct salting s = {c->mechanism->hash, c->credentials.password, first.salt, first.iterations, {0}, false};
    if (fiber_current())
        run_offload(salt, &s);
    else
        salt(&s);
    if (!s.good)
        return false;
    buffer_append_string(out, "c=");
    append_header(c, out);
    buffer_printf(out, ",r=" SLICE_FORMAT, SLICE_ARGS(first.nonce));
    append_proof(c, &s, challenge, out);
    OPENSSL_cleanse(&s.salted, sizeof(s.salted));
    c->proof_sent = true;
    return true;
}

/* check_server - "v=signature"; the answer is empty. */
static bool check_server(struct sasl_client *c, struct slice challenge)
{
    struct buffer bytes = BUFFER_INIT;
    struct scram_key got = {0};

    if (slice_starts(challenge, SLICE("v=")) && base64_decode(slice_from(challenge, 2), &bytes) && bytes.len <= SCRAM_KEY_MAX && bytes.len > 0) {
        got.len = bytes.len;
        memcpy(got.bytes, bytes.data, bytes.len);
        c->satisfied = scram_equal(&got, &c->signature);
    }
    buffer_release(&bytes);
    return c->satisfied;
}

static bool step_scram(struct sasl_client *c, struct slice challenge, struct buffer *out)
{
    if (c->satisfied)
        return false;
    if (c->proof_sent)
        return check_server(c, challenge);
    if (challenge.len == 0 && c->steps == 1) { /* a server that ignores the initial response */
        buffer_clear(out);
        return begin_scram(c, out);
    }
    return answer_first(c, challenge, out);
}

/* ---- the table ---- */

/* In order of preference. */
static const struct mechanism mechanisms[] = {
    {"OAUTHBEARER", true, 0, begin_oauthbearer, step_refused},
    {"XOAUTH2", true, 0, begin_xoauth2, step_refused},
    {"SCRAM-SHA-256", false, SCRAM_SHA_256, begin_scram, step_scram},
    {"SCRAM-SHA-1", false, SCRAM_SHA_1, begin_scram, step_scram},
    {"CRAM-MD5", false, 0, begin_nothing, step_cram},
    {"PLAIN", false, 0, begin_plain, step_plain},
    {"LOGIN", false, 0, begin_nothing, step_login},
};

static bool is_among(struct slice list, const char *name)
{
    struct slice word;

    while (slice_next_token(&list, " ", &word))
        if (slice_equal_case(word, slice_of(name)))
            return true;
    return false;
}

struct slice sasl_client_choose(struct slice offered, struct sasl_security security, bool explicit_choice)
{
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        struct slice name = slice_of(mechanisms[i].name);
        if (is_among(offered, mechanisms[i].name) && (explicit_choice || !mechanisms[i].bearer) &&
            sasl_security_allows(security, sasl_mechanism_properties(name)))
            return name;
    }
    return (struct slice){0};
}

struct sasl_client *sasl_client_new(struct slice mechanism, const struct sasl_credentials *credentials)
{
    struct arena *arena = arena_new(512);
    struct sasl_client *c = arena_alloc(arena, sizeof(*c));

    c->arena = arena;
    c->credentials = *credentials;
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
        if (slice_equal_case(mechanism, slice_of(mechanisms[i].name)))
            c->mechanism = &mechanisms[i];
    return c;
}

void sasl_client_free(struct sasl_client *c)
{
    if (!c)
        return;
    OPENSSL_cleanse(&c->signature, sizeof(c->signature));
    arena_free(c->arena);
}

static void finish(struct buffer *plain, struct buffer *response)
{
    base64_encode(response, buffer_slice(plain));
    if (plain->data)
        OPENSSL_cleanse(plain->data, plain->capacity);
    buffer_release(plain);
}

bool sasl_client_begin(struct sasl_client *c, struct buffer *response)
{
    struct buffer plain = BUFFER_INIT;

    if (!c->mechanism || !c->mechanism->begin(c, &plain))
        return false;
    finish(&plain, response);
    if (response->len == 0)
        buffer_append_byte(response, '=');
    return true;
}

bool sasl_client_step(struct sasl_client *c, struct slice challenge, struct buffer *response)
{
    struct buffer plain = BUFFER_INIT, text = BUFFER_INIT_MAX(16384);

    c->steps++;
    bool good = c->mechanism && c->steps <= STEPS_MAX && base64_decode(challenge, &text) && !text.overflow &&
                c->mechanism->step(c, buffer_slice(&text), &plain);
    finish(&plain, response);
    buffer_release(&text);
    return good;
}

bool sasl_client_is_satisfied(const struct sasl_client *c)
{
    return c->satisfied;
}
