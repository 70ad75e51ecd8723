/* test_client.c - the client's half of the mechanisms, against our server's where there is one */
#include "testing.h"

#include "run/run.h"
#include "sasl/base64.h"
#include "sasl/client.h"
#include "sasl/server.h"

#define SCRAM_USER "inline:{ { user = {SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU= } }"

static const struct sasl_security anything = {0, 0};

START_TEST(test_choice)
{
    static const struct { const char *offered, *options; bool explicit_choice; const char *chosen; } rows[] = {
        {"PLAIN LOGIN", "noanonymous", false, "PLAIN"}, {"LOGIN PLAIN", "noanonymous", false, "PLAIN"}, {"LOGIN", "noanonymous", false, "LOGIN"},
        {"PLAIN LOGIN", "noplaintext", false, ""}, {"PLAIN CRAM-MD5", "noplaintext", false, "CRAM-MD5"}, {"CRAM-MD5 scram-sha-1", "noplaintext", false, "SCRAM-SHA-1"},
        {"SCRAM-SHA-1 SCRAM-SHA-256", "", false, "SCRAM-SHA-256"}, {"FOO-5 BAR", "", false, ""}, {"", "", true, ""}, {"XOAUTH2 PLAIN", "", false, "PLAIN"},
        {"XOAUTH2 PLAIN", "", true, "XOAUTH2"}, {"OAUTHBEARER", "", true, "OAUTHBEARER"}, {"PLAINER ANONYMOUS", "", true, ""},
        {"CRAM-MD5 SCRAM-SHA-256", "nodictionary", false, "SCRAM-SHA-256"}, {"CRAM-MD5", "nodictionary", false, ""},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice chosen = sasl_client_choose(slice_of(rows[i].offered), sasl_security_parse(rows[i].options, "x"), rows[i].explicit_choice);
        ck_assert_msg(slice_equal(chosen, slice_of(rows[i].chosen)), "%s: " SLICE_FORMAT, rows[i].offered, SLICE_ARGS(chosen));
    }
}
END_TEST

static void says(struct buffer *response, struct slice wanted)
{
    struct buffer plain = BUFFER_INIT;

    ck_assert(base64_decode(buffer_slice(response), &plain));
    ck_assert_msg(slice_equal(buffer_slice(&plain), wanted), "got %.*s", (int)plain.len, plain.data);
    buffer_release(&plain);
    buffer_clear(response);
}

START_TEST(test_simple_mechanisms)
{
    struct sasl_credentials credentials = {.user = SLICE("tim"), .password = SLICE("tanstaaftanstaaf"), .host = "mx.test", .port = 587};
    struct buffer response = BUFFER_INIT, challenge = BUFFER_INIT;

    struct sasl_client *c = sasl_client_new(SLICE("PLAIN"), &credentials);
    ck_assert(sasl_client_begin(c, &response) && sasl_client_is_satisfied(c));
    says(&response, (struct slice){"\0tim\0tanstaaftanstaaf", 21});
    ck_assert(sasl_client_step(c, SLICE(""), &response)); /* it was not listened to */
    says(&response, (struct slice){"\0tim\0tanstaaftanstaaf", 21});
    ck_assert(!sasl_client_step(c, SLICE(""), &response));
    sasl_client_free(c);
    c = sasl_client_new(SLICE("LOGIN"), &credentials);
    ck_assert(!sasl_client_begin(c, &response) && !sasl_client_is_satisfied(c));
    ck_assert(sasl_client_step(c, SLICE("VXNlcm5hbWU6"), &response));
    says(&response, SLICE("tim"));
    ck_assert(!sasl_client_is_satisfied(c) && sasl_client_step(c, SLICE("UGFzc3dvcmQ6"), &response) && sasl_client_is_satisfied(c));
    says(&response, SLICE("tanstaaftanstaaf"));
    ck_assert(!sasl_client_step(c, SLICE(""), &response)); /* whatever more it wants */
    sasl_client_free(c);
    buffer_clear(&response);
    c = sasl_client_new(SLICE("CRAM-MD5"), &credentials);
    base64_encode(&challenge, SLICE("<1896.697170952@postoffice.reston.mci.net>"));
    ck_assert(sasl_client_step(c, buffer_slice(&challenge), &response));
    says(&response, SLICE("tim b913a602c7eda7a495b4e6e7334d3890")); /* RFC 2195 */
    sasl_client_free(c);
    c = sasl_client_new(SLICE("OAUTHBEARER"), &credentials);
    ck_assert(sasl_client_begin(c, &response));
    says(&response, SLICE("n,a=tim,\001host=mx.test\001port=587\001auth=Bearer tanstaaftanstaaf\001\001"));
    ck_assert(sasl_client_step(c, SLICE("e30="), &response));
    says(&response, SLICE("\001"));
    ck_assert(!sasl_client_step(c, SLICE("e30="), &response));
    sasl_client_free(c);
    c = sasl_client_new(SLICE("PLAIN"), &credentials);
    ck_assert(!sasl_client_step(c, SLICE("no base64"), &response));
    sasl_client_free(c);
    buffer_release(&response);
    buffer_release(&challenge);
}
END_TEST

static void log_in(const char *password, bool send_authorization, enum sasl_outcome wanted)
{
    struct config *config = config_empty();
    struct sasl_server_settings settings = {"file", SCRAM_USER, "smtp", "", config};
    struct sasl_peer peer = {"192.0.2.1", "192.0.2.9", false, anything, anything};
    struct sasl_server *server = sasl_server_new(&settings);
    struct sasl_credentials credentials = {.user = SLICE("user"), .password = slice_of(password), .send_authorization = send_authorization};
    struct sasl_client *client = sasl_client_new(SLICE("SCRAM-SHA-256"), &credentials);
    struct sasl_exchange *x = sasl_exchange_new(server, SLICE("SCRAM-SHA-256"), &peer);
    struct buffer response = BUFFER_INIT;
    struct sasl_answer answer;

    ck_assert(sasl_client_begin(client, &response));
    sasl_exchange_step(x, true, buffer_slice(&response), &answer);
    while (answer.outcome == SASL_CONTINUE) {
        buffer_clear(&response);
        ck_assert(!sasl_client_is_satisfied(client));
        ck_assert(sasl_client_step(client, answer.challenge, &response));
        sasl_exchange_step(x, true, buffer_slice(&response), &answer);
    }
    ck_assert_int_eq(answer.outcome, wanted);
    ck_assert_int_eq(sasl_client_is_satisfied(client), wanted == SASL_OK);
    sasl_client_free(client);
    sasl_exchange_free(x);
    sasl_server_free(server);
    config_free(config);
    buffer_release(&response);
}

static void scram(void *arg UNUSED)
{
    log_in("pencil", false, SASL_OK);
    log_in("pencil", true, SASL_OK);
    log_in("pen", false, SASL_FAILED);
}

START_TEST(test_scram) { run_main(scram, NULL); }
END_TEST

START_TEST(test_scram_liars)
{
    static const char *const challenges[] = {"r=other,s=QQ==,i=4096", "v=QUJD", "e=no", "", "r=,s=QQ==,i=1"};
    struct sasl_credentials credentials = {.user = SLICE("user"), .password = SLICE("pencil")};

    for (size_t i = 0; i < COUNT_OF(challenges); i++) {
        struct sasl_client *c = sasl_client_new(SLICE("SCRAM-SHA-1"), &credentials);
        struct buffer response = BUFFER_INIT, challenge = BUFFER_INIT;
        ck_assert(sasl_client_begin(c, &response));
        base64_encode(&challenge, slice_of(challenges[i]));
        bool good = sasl_client_step(c, buffer_slice(&challenge), &response);
        ck_assert_msg(good == (challenges[i][0] == '\0'), "%s", challenges[i]);
        ck_assert(!sasl_client_is_satisfied(c));
        sasl_client_free(c);
        buffer_release(&response);
        buffer_release(&challenge);
    }
}
END_TEST

TEST_MAIN("sasl/client", test_choice, test_simple_mechanisms, test_scram, test_scram_liars)
