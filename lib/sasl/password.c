/* password.c - PLAIN and LOGIN */
#include "sasl/password.h"

#include "sasl/base64.h"

void sasl_decide(struct sasl_answer *answer, enum sasl_outcome outcome, enum sasl_layer layer, struct slice user)
{
    *answer = (struct sasl_answer){.outcome = outcome, .layer = layer, .user = user};
    if (outcome == SASL_TEMPORARY)
        answer->reason = SLICE("Password service is not available");
    else if (outcome == SASL_FAILED)
        answer->reason = layer == SASL_LAYER_ENCODING ? SLICE("bad protocol / cancel") : SLICE("authentication failure");
}

void sasl_challenge(struct sasl_exchange *x, struct slice text, struct sasl_answer *answer)
{
    struct buffer out = BUFFER_INIT;

    base64_encode(&out, text);
    *answer = (struct sasl_answer){.outcome = SASL_CONTINUE, .challenge = arena_slice(x->arena, buffer_slice(&out))};
    buffer_release(&out);
}

static void plain(struct sasl_exchange *x, struct slice message, sasl_password_check *check, struct sasl_answer *answer)
{
    struct slice authorization, rest, user, password;

    if (!slice_cut(message, '\0', &authorization, &rest) || !slice_cut(rest, '\0', &user, &password) || slice_find(password, '\0') < password.len ||
        user.len == 0) {
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_ENCODING, (struct slice){0});
        return;
    }
    check(x, user, password, answer);
    if (answer->outcome == SASL_OK && authorization.len && !slice_equal_case(authorization, user) && !slice_equal_case(authorization, answer->user))
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_AUTHORIZATION, answer->user);
}

static void login(struct sasl_exchange *x, bool has_response, struct slice message, sasl_password_check *check, struct sasl_answer *answer)
{
    if (!has_response) {
        sasl_challenge(x, SLICE("Username:"), answer);
    } else if (!x->login_user.data) {
        x->login_user = arena_slice(x->arena, message);
        sasl_challenge(x, SLICE("Password:"), answer);
    } else if (x->login_user.len == 0 || slice_find(message, '\0') < message.len) {
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_ENCODING, x->login_user);
    } else {
        check(x, x->login_user, message, answer);
    }
}

void sasl_password_step(struct sasl_exchange *x, bool has_response, struct slice message, sasl_password_check *check, struct sasl_answer *answer)
{
    if (x->mechanism[0] == 'L')
        login(x, has_response, message, check, answer);
    else if (!has_response)
        sasl_challenge(x, (struct slice){0}, answer);
    else
        plain(x, message, check, answer);
}
