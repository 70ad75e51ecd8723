/* file.c - smtpd_sasl_type = file: a lookup table says for each user a crypt(3) hash or what SCRAM needs

   PLAIN and LOGIN work with both.  Whoever is not in the table costs as much time as one who is. */
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/log.h"
#include "run/run.h"
#include "sasl/base64.h"
#include "sasl/password.h"
#include "sasl/verifier.h"
#include "table/table.h"

enum {
    AT_ONCE = 2,                /* hashes computed side by side: the thread pool has other work, too */
    PATIENCE = 30 * 1000000,    /* microseconds that an attempt may wait for its turn */
    USER_MAX = 255
};

struct file {
    struct table_list *users;
    struct semaphore turn;
    struct scram_key secret;    /* salts for users that there are not */
    char *decoy;                /* a crypt(3) hash, checked in place of one that there is not */
};

static const struct sasl_mechanism offered[] = {
    {"SCRAM-SHA-256", SASL_MUTUAL_AUTH}, {"PLAIN", SASL_PLAINTEXT}, {"LOGIN", SASL_PLAINTEXT}};

static void *open_file(struct sasl_server *server)
{
    struct file *file = memory_zalloc(1, sizeof(*file));

    file->users = table_list_new("smtpd_sasl_path", server->settings.path, TABLE_FOLD | TABLE_NO_SUBSTITUTION, server->settings.config);
    semaphore_init(&file->turn, AT_ONCE);
    file->secret.len = SCRAM_KEY_MAX;
    if (RAND_bytes(file->secret.bytes, SCRAM_KEY_MAX) != 1)
        log_fatal("no random numbers");
    file->decoy = memory_string("$6$postern$");
    return file;
}

static void close_file(void *state)
{
    struct file *file = state;

    table_list_free(file->users);
    free(file->decoy);
    free(file);
}

static const struct sasl_mechanism *mechanisms(struct sasl_server *server UNUSED, size_t *count)
{
    *count = COUNT_OF(offered);
    return offered;
}

/* ---- users ---- */

struct state {
    struct slice name;          /* as found */
    struct verifier verifier;
    bool known;
    struct slice first, server_first, nonce; /* SCRAM */
    struct slice header;
    bool proved;
};

static struct slice with_domain(const struct sasl_exchange *x, struct slice user)
{
    const char *domain = x->server->settings.local_domain;

    if (slice_find(user, '@') < user.len || !domain[0])
        return (struct slice){0};
    return arena_format(x->arena, SLICE_FORMAT "@%s", SLICE_ARGS(user), domain);
}

/* find_user - false: the answer is set, the table cannot tell. */
static bool find_user(struct sasl_exchange *x, struct slice user, struct state *state, struct sasl_answer *answer)
{
    struct file *file = x->server->state;
    struct buffer value = BUFFER_INIT;
    enum table_result found = TABLE_NOT_FOUND;

    state->name = arena_slice(x->arena, user);
    if (user.len && user.len <= USER_MAX && !slice_has_control(user))
        found = table_list_lookup(file->users, user, true, &value);
    struct slice longer = with_domain(x, user);
    if (found == TABLE_NOT_FOUND && longer.len && longer.len <= USER_MAX && !slice_has_control(longer)) {
        state->name = longer;
        found = table_list_lookup(file->users, longer, true, &value);
    }
    state->known = found == TABLE_FOUND;
    if (state->known)
        verifier_parse(buffer_slice(&value), x->arena, &state->verifier);
    else
        state->name = arena_slice(x->arena, user);
    OPENSSL_cleanse(value.data, value.len);
    buffer_release(&value);
    if (found == TABLE_TRY_AGAIN)
        sasl_decide(answer, SASL_TEMPORARY, SASL_LAYER_BACKEND_DOWN, state->name);
    return found != TABLE_TRY_AGAIN;
}

/* remember_kind - users that there are not shall cost what the others cost. */
static void remember_kind(struct file *file, const struct state *state)
{
    if (!state->known || state->verifier.kind != VERIFIER_CRYPT || strncmp(state->verifier.crypt, file->decoy, 3) == 0)
        return;
    free(file->decoy);
    file->decoy = memory_string(state->verifier.crypt);
}

static void judge(const struct state *state, enum verifier_result result, struct sasl_answer *answer)
{
    enum sasl_layer layer = !state->known ? SASL_LAYER_UNKNOWN_USER : state->verifier.kind == VERIFIER_DISABLED ? SASL_LAYER_DISABLED
                            : state->verifier.kind == VERIFIER_UNUSABLE || result == VERIFIER_BROKEN ? SASL_LAYER_VERIFIER
                            : result == VERIFIER_WRONG ? SASL_LAYER_WRONG_PASSWORD : SASL_LAYER_NONE;

    sasl_decide(answer, layer == SASL_LAYER_NONE ? SASL_OK : SASL_FAILED, layer, state->name);
}

static void check_password(struct sasl_exchange *x, struct slice user, struct slice password, struct sasl_answer *answer)
{
    struct file *file = x->server->state;
    struct state state = {0};

    if (!find_user(x, user, &state, answer))
        return;
    if (semaphore_take(&file->turn, clock_after(PATIENCE)) != WAIT_READY) {
        sasl_decide(answer, SASL_TEMPORARY, SASL_LAYER_BACKEND_TROUBLE, state.name);
        return;
    }
    remember_kind(file, &state);
    bool usable = state.known && (state.verifier.kind == VERIFIER_CRYPT || state.verifier.kind == VERIFIER_SCRAM);
    struct verifier decoy = {.kind = VERIFIER_CRYPT, .crypt = arena_strdup(x->arena, file->decoy)}; /* others may change it meanwhile */
    enum verifier_result result = verifier_check(usable ? &state.verifier : &decoy, password);
    semaphore_give(&file->turn);
    judge(&state, result, answer);
}

/* ---- SCRAM-SHA-256 (RFC 7677) ---- */

/* pretend - a salt for a user without one, always the same for the same name. */
static void pretend(struct sasl_exchange *x, struct state *state)
{
    const struct file *file = x->server->state;
    struct scram_key salt;

    scram_sign(SCRAM_SHA_256, &file->secret, state->name, &salt);
    state->verifier.scram = (struct scram_verifier){.hash = SCRAM_SHA_256, .iterations = 4096, .salt = arena_slice(x->arena, slice_make(salt.bytes, 16))};
}

static bool has_scram(const struct state *state)
{
    return state->known && state->verifier.kind == VERIFIER_SCRAM && state->verifier.scram.hash == SCRAM_SHA_256;
}

static void scram_first(struct sasl_exchange *x, struct slice message, struct sasl_answer *answer)
{
    struct state *state = x->state;
    struct scram_client_first first;
    struct buffer text = BUFFER_INIT;

    if (!scram_parse_client_first(arena_slice(x->arena, message), x->arena, &first)) {
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_ENCODING, (struct slice){0});
        return;
    }
    if (first.authorization.len && !slice_equal_case(first.authorization, first.user)) {
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_AUTHORIZATION, first.user);
        return;
    }
    if (!find_user(x, first.user, state, answer))
        return;
    if (!has_scram(state))
        pretend(x, state);
    state->first = first.bare;
    state->header = first.header;
    buffer_printf(&text, "r=" SLICE_FORMAT, SLICE_ARGS(first.nonce));
    scram_nonce(&text);
    state->nonce = arena_slice(x->arena, slice_from(buffer_slice(&text), 2));
    buffer_append_string(&text, ",s=");
    base64_encode(&text, state->verifier.scram.salt);
    buffer_printf(&text, ",i=%u", state->verifier.scram.iterations);
    state->server_first = arena_slice(x->arena, buffer_slice(&text));
    sasl_challenge(x, state->server_first, answer);
    buffer_release(&text);
}

/* proves - is the proof that of the stored key?  *signature: what we prove to the client. */
static bool proves(struct sasl_exchange *x, const struct scram_client_final *final, struct scram_key *signature)
{
    const struct state *state = x->state;
    const struct scram_verifier *v = &state->verifier.scram;
    struct slice signed_text = arena_format(x->arena, SLICE_FORMAT "," SLICE_FORMAT "," SLICE_FORMAT, SLICE_ARGS(state->first),
                                            SLICE_ARGS(state->server_first), SLICE_ARGS(final->without_proof));
    struct scram_key client, stored;

    scram_sign(SCRAM_SHA_256, &v->stored, signed_text, &client);
    if (final->proof.len != client.len)
        return false;
    scram_xor(&client, &final->proof);
    scram_hash_key(SCRAM_SHA_256, &client, &stored);
    scram_sign(SCRAM_SHA_256, &v->server, signed_text, signature);
    return scram_equal(&stored, &v->stored);
}

static void scram_final(struct sasl_exchange *x, struct slice message, struct sasl_answer *answer)
{
    struct state *state = x->state;
    struct scram_client_final final;
    struct scram_key signature;

    if (!scram_parse_client_final(arena_slice(x->arena, message), x->arena, &final) || !slice_equal(final.header, state->header) ||
        !slice_equal(final.nonce, state->nonce)) {
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_ENCODING, state->name);
        return;
    }
    bool good = proves(x, &final, &signature);
    if (!has_scram(state)) {
        enum sasl_layer layer = !state->known ? SASL_LAYER_UNKNOWN_USER : state->verifier.kind == VERIFIER_DISABLED ? SASL_LAYER_DISABLED
                                : state->verifier.kind == VERIFIER_UNUSABLE ? SASL_LAYER_VERIFIER : SASL_LAYER_NO_SCRAM;
        sasl_decide(answer, SASL_FAILED, layer, state->name);
    } else if (!good) {
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_WRONG_PASSWORD, state->name);
    } else {
        struct buffer text = BUFFER_INIT;
        buffer_append_string(&text, "v=");
        base64_encode(&text, slice_make(signature.bytes, signature.len));
        state->proved = true;
        sasl_challenge(x, buffer_slice(&text), answer);
        buffer_release(&text);
    }
}

static void scram(struct sasl_exchange *x, bool has_response, struct slice message, struct sasl_answer *answer)
{
    struct state *state = x->state;

    if (state->proved) /* the client has seen our proof: it says nothing more */
        sasl_decide(answer, message.len ? SASL_FAILED : SASL_OK, message.len ? SASL_LAYER_ENCODING : SASL_LAYER_NONE, state->name);
    else if (!has_response)
        sasl_challenge(x, (struct slice){0}, answer);
    else if (!state->nonce.data)
        scram_first(x, message, answer);
    else
        scram_final(x, message, answer);
}

static void step(struct sasl_exchange *x, bool has_response, struct slice response, struct sasl_answer *answer)
{
    struct buffer message = BUFFER_INIT;

    if (!x->state)
        x->state = arena_alloc(x->arena, sizeof(struct state));
    if (!base64_decode(response, &message)) /* server.c has looked */
        log_panic("bad base64");
    if (x->mechanism[0] == 'S')
        scram(x, has_response, buffer_slice(&message), answer);
    else
        sasl_password_step(x, has_response, buffer_slice(&message), check_password, answer);
    if (message.data)
        OPENSSL_cleanse(message.data, message.capacity);
    buffer_release(&message);
}

const struct sasl_driver sasl_driver_file = {"file", open_file, close_file, mechanisms, step, NULL};
