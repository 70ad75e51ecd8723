/* verifier.c - checking passwords */
#include "sasl/verifier.h"

#include <crypt.h>
#include <openssl/crypto.h>

#include "run/run.h"

/* ---- reading ---- */

static bool parse_scram(struct slice value, struct arena *arena, struct verifier *v)
{
    static const struct { struct slice prefix; enum scram_hash hash; } kinds[] = {{{"{SCRAM-SHA-256}", 15}, SCRAM_SHA_256}, {{"{SCRAM-SHA-1}", 13}, SCRAM_SHA_1}};

    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (slice_starts_case(value, kinds[i].prefix)) {
            if (scram_verifier_parse(slice_from(value, kinds[i].prefix.len), kinds[i].hash, arena, &v->scram))
                v->kind = VERIFIER_SCRAM;
            return true;
        }
    return false;
}

void verifier_parse(struct slice value, struct arena *arena, struct verifier *v)
{
    memset(v, 0, sizeof(*v));
    value = slice_trim(value);
    if (value.len == 0 || parse_scram(value, arena, v))
        return;
    if (value.data[0] == '!' || value.data[0] == '*') {
        v->kind = VERIFIER_DISABLED;
        return;
    }
    size_t close = slice_find(value, '}');
    if (value.data[0] == '{') {
        if (!slice_ends_case(slice_first(value, close), SLICE("CRYPT")))
            return;
        value = slice_from(value, close + 1);
    }
    if (value.len == 0 || value.data[0] != '$') /* neither a plain password nor DES */
        return;
    v->kind = VERIFIER_CRYPT;
    v->crypt = arena_string(arena, value);
}

/* ---- checking ---- */

struct check {
    const struct verifier *verifier;
    const char *password; /* NUL at the end */
    size_t len;
    enum verifier_result result;
};

static enum verifier_result check_crypt(const char *wanted, const char *password)
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    const char *got = data ? crypt_r(password, wanted, data) : NULL;
    enum verifier_result result = VERIFIER_BROKEN;

    if (got && got[0] != '*')
        result = strlen(got) == strlen(wanted) && CRYPTO_memcmp(got, wanted, strlen(wanted)) == 0 ? VERIFIER_FITS : VERIFIER_WRONG;
    if (data)
        OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    return result;
}

/* check - in another thread: nothing but the argument. */
static void check(void *arg)
{
    struct check *c = arg;
    const struct scram_verifier *scram = &c->verifier->scram;
    struct scram_key salted, client, stored, server;

    if (c->verifier->kind == VERIFIER_CRYPT) {
        c->result = check_crypt(c->verifier->crypt, c->password);
        return;
    }
    c->result = VERIFIER_BROKEN;
    if (!scram_salt(scram->hash, slice_make(c->password, c->len), scram->salt, scram->iterations, &salted))
        return;
    scram_derive(scram->hash, &salted, &client, &stored, &server);
    c->result = scram_equal(&stored, &scram->stored) ? VERIFIER_FITS : VERIFIER_WRONG;
    OPENSSL_cleanse(&salted, sizeof(salted));
}

enum verifier_result verifier_check(const struct verifier *verifier, struct slice password)
{
    char *copy = slice_string(password);
    struct check c = {verifier, copy, password.len, VERIFIER_BROKEN};

    if (verifier->kind == VERIFIER_CRYPT || verifier->kind == VERIFIER_SCRAM) {
        if (fiber_current())
            run_offload(check, &c);
        else
            check(&c);
    }
    OPENSSL_cleanse(copy, password.len);
    free(copy);
    return c.result;
}
