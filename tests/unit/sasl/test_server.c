/* test_server.c - exchanges with the table back end, and with a Dovecot that is a script on a socket pair's listener */
#include "testing.h"

#include <sys/un.h>

#include "base/log.h"
#include "net/address.h"
#include "net/stream.h"
#include "run/run.h"
#include "sasl/base64.h"
#include "sasl/scram.h"
#include "sasl/server.h"

#define USERS "inline:{ { alice = $5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5 } " \
    "{ user = {SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU= } " \
    "{ gone = !x } { odd = secret } { bob@here.test = $5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5 } }"

static const struct sasl_peer peer = {"192.0.2.1", "192.0.2.9", false, {SASL_PRIVATE, 0}, {SASL_PRIVATE, 0}};

static struct config *config;

static void close_server(struct sasl_server *server)
{
    sasl_server_free(server);
    config_free(config);
}

static struct sasl_server *open_server(const char *type, const char *path)
{
    struct sasl_server_settings settings = {type, path, "smtp", "here.test", config = config_empty()};

    return sasl_server_new(&settings);
}

static struct sasl_answer once(struct sasl_server *server, const char *mechanism, struct slice message, struct arena *arena)
{
    struct sasl_exchange *x = sasl_exchange_new(server, slice_of(mechanism), &peer);
    struct buffer text = BUFFER_INIT;
    struct sasl_answer answer;

    base64_encode(&text, message);
    sasl_exchange_step(x, true, text.len ? buffer_slice(&text) : SLICE("="), &answer);
    answer.user = arena_slice(arena, answer.user);
    answer.reason = arena_slice(arena, answer.reason);
    buffer_release(&text);
    sasl_exchange_free(x);
    return answer;
}

static void plain(void *arg UNUSED)
{
    static const struct { struct slice message; enum sasl_outcome outcome; enum sasl_layer layer; const char *user; } rows[] = {
        {{"\0alice\0Hello world!", 19}, SASL_OK, SASL_LAYER_NONE, "alice"},
        {{"alice\0alice\0Hello world!", 24}, SASL_OK, SASL_LAYER_NONE, "alice"},
        {{"root\0alice\0Hello world!", 23}, SASL_FAILED, SASL_LAYER_AUTHORIZATION, "alice"},
        {{"\0bob\0Hello world!", 17}, SASL_OK, SASL_LAYER_NONE, "bob@here.test"},
        {{"\0alice\0hello", 12}, SASL_FAILED, SASL_LAYER_WRONG_PASSWORD, "alice"},
        {{"\0user\0pencil", 12}, SASL_OK, SASL_LAYER_NONE, "user"},
        {{"\0user\0pencils", 13}, SASL_FAILED, SASL_LAYER_WRONG_PASSWORD, "user"},
        {{"\0nobody\0x", 9}, SASL_FAILED, SASL_LAYER_UNKNOWN_USER, "nobody"},
        {{"\0gone\0x", 7}, SASL_FAILED, SASL_LAYER_DISABLED, "gone"},
        {{"\0odd\0secret", 11}, SASL_FAILED, SASL_LAYER_VERIFIER, "odd"},
        {{"alice", 5}, SASL_FAILED, SASL_LAYER_ENCODING, ""},
        {{"\0\0", 2}, SASL_FAILED, SASL_LAYER_ENCODING, ""},
        {{"\0alice\0Hello world!\0", 20}, SASL_FAILED, SASL_LAYER_ENCODING, ""},
        {{"", 0}, SASL_FAILED, SASL_LAYER_ENCODING, ""},
    };
    struct sasl_server *server = open_server("file", USERS);
    struct arena *arena = arena_new(0);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sasl_answer a = once(server, "plain", rows[i].message, arena);
        ck_assert_msg(a.outcome == rows[i].outcome && a.layer == rows[i].layer, "row %zu: outcome %d layer %s", i, a.outcome, sasl_layer_name(a.layer));
        ASSERT_SLICE(a.user, rows[i].user);
        if (rows[i].layer == SASL_LAYER_UNKNOWN_USER || rows[i].layer == SASL_LAYER_WRONG_PASSWORD || rows[i].layer == SASL_LAYER_DISABLED)
            ASSERT_SLICE(a.reason, "authentication failure"); /* the client learns no difference */
    }
    struct sasl_answer a = once(server, "FOO", SLICE(""), arena);
    ck_assert_int_eq(a.layer, SASL_LAYER_MECHANISM);
    arena_free(arena);
    close_server(server);
}

static void reply_scram(struct sasl_exchange *x, const char *password, struct slice challenge, struct arena *arena, struct sasl_answer *answer)
{
    struct buffer text = BUFFER_INIT, final = BUFFER_INIT, encoded = BUFFER_INIT;
    struct scram_server_first first;
    struct scram_key salted, client, stored, server, signature;

    ck_assert(base64_decode(challenge, &text));
    ck_assert(scram_parse_server_first(buffer_slice(&text), arena, &first));
    ck_assert(scram_salt(SCRAM_SHA_256, slice_of(password), first.salt, first.iterations, &salted));
    scram_derive(SCRAM_SHA_256, &salted, &client, &stored, &server);
    buffer_printf(&final, "c=biws,r=" SLICE_FORMAT, SLICE_ARGS(first.nonce));
    struct slice signed_text = arena_format(arena, "n=user,r=abc,%s,%s", buffer_string(&text), buffer_string(&final));
    scram_sign(SCRAM_SHA_256, &stored, signed_text, &signature);
    scram_xor(&signature, &client);
    buffer_append_string(&final, ",p=");
    base64_encode(&final, slice_make(signature.bytes, signature.len));
    base64_encode(&encoded, buffer_slice(&final));
    sasl_exchange_step(x, true, buffer_slice(&encoded), answer);
    buffer_release(&text);
    buffer_release(&final);
    buffer_release(&encoded);
}

static void scram(void *arg UNUSED)
{
    struct sasl_server *server = open_server("file", USERS);
    struct arena *arena = arena_new(0);
    struct sasl_answer a;

    for (int i = 0; i < 2; i++) {
        struct sasl_exchange *x = sasl_exchange_new(server, SLICE("SCRAM-SHA-256"), &peer);
        sasl_exchange_step(x, true, SLICE("biwsbj11c2VyLHI9YWJj"), &a);
        ck_assert_int_eq(a.outcome, SASL_CONTINUE);
        reply_scram(x, i == 0 ? "pencil" : "pen", a.challenge, arena, &a);
        if (i == 0) {
            ck_assert_int_eq(a.outcome, SASL_CONTINUE);
            sasl_exchange_step(x, true, SLICE(""), &a);
            ck_assert_int_eq(a.outcome, SASL_OK);
            ASSERT_SLICE(a.user, "user");
        } else {
            ck_assert_int_eq(a.outcome, SASL_FAILED);
            ck_assert_int_eq(a.layer, SASL_LAYER_WRONG_PASSWORD);
        }
        sasl_exchange_free(x);
    }
    arena_free(arena);
    close_server(server);
}

static void login(void *arg UNUSED)
{
    struct sasl_server *server = open_server("file", USERS);
    struct sasl_exchange *x = sasl_exchange_new(server, SLICE("LOGIN"), &peer);
    struct sasl_answer a;

    sasl_exchange_step(x, false, (struct slice){0}, &a);
    ASSERT_SLICE(a.challenge, "VXNlcm5hbWU6");
    sasl_exchange_step(x, true, SLICE("YWxpY2U="), &a);
    ASSERT_SLICE(a.challenge, "UGFzc3dvcmQ6");
    sasl_exchange_step(x, true, SLICE("SGVsbG8gd29ybGQh"), &a);
    ck_assert_int_eq(a.outcome, SASL_OK);
    sasl_exchange_free(x);
    close_server(server);
}

/* ---- Dovecot ---- */

static char directory[] = "/tmp/postern-sasl-XXXXXX";
static char path[64];
static int listener = -1;
static bool hang_up; /* close instead of answering the next request */

static void serve_dovecot(void *arg)
{
    struct stream *s = arg;
    struct slice line, word;

    stream_set_deadline(s, clock_after(10 * 1000000));
    stream_printf(s, "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tINNER\tprivate\nSPID\t1\nDONE\n");
    stream_flush(s);
    while (stream_read_line(s, 4096, &line) == LINE_LF) {
        struct slice rest = line;
        if (!slice_next_token(&rest, "\t", &word) || (!slice_equal(word, SLICE("AUTH")) && !slice_equal(word, SLICE("CONT"))))
            continue;
        bool first = slice_equal(word, SLICE("AUTH"));
        slice_next_token(&rest, "\t", &word);
        if (hang_up)
            break;
        if (first && slice_search(line, SLICE("resp=")) == line.len)
            stream_printf(s, "CONT\t" SLICE_FORMAT "\tVXNlcm5hbWU6\n", SLICE_ARGS(word));
        else if (slice_search(line, SLICE("AGdvb2QAeA==")) < line.len)
            stream_printf(s, "FAIL\t999\tuser=other\nOK\t" SLICE_FORMAT "\tuser=good\n", SLICE_ARGS(word));
        else if (slice_search(line, SLICE("AG9kZAB4")) < line.len)
            stream_printf(s, "OK\t" SLICE_FORMAT "\tuser=o\001nk\n", SLICE_ARGS(word));
        else if (slice_search(line, SLICE("AG5vbmUAeA==")) < line.len)
            stream_printf(s, "OK\t" SLICE_FORMAT "\n", SLICE_ARGS(word));
        else
            stream_printf(s, "FAIL\t" SLICE_FORMAT "\tuser=bad\tcode=user_disabled\n", SLICE_ARGS(word));
        stream_flush(s);
    }
    stream_free(s);
}

static void accept_dovecot(void *arg UNUSED)
{
    while (fiber_wait_fd(listener, WAIT_READ, clock_after(10 * 1000000)) == WAIT_READY) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            fiber_start("dovecot", serve_dovecot, stream_new_fd(fd));
    }
}

static void dovecot(void *arg UNUSED)
{
    struct net_address address;
    struct buffer names = BUFFER_INIT;
    struct arena *arena = arena_new(0);
    struct sasl_answer a;

    ck_assert(mkdtemp(directory) != NULL);
    snprintf(path, sizeof(path), "%s/auth", directory);
    struct sasl_server *server = open_server("dovecot", path);
    a = once(server, "PLAIN", SLICE("\0good\0x"), arena);
    ck_assert_int_eq(a.outcome, SASL_TEMPORARY);
    ck_assert_int_eq(a.layer, SASL_LAYER_BACKEND_DOWN);
    ck_assert(net_address_unix(&address, slice_of(path)));
    listener = net_listen(&address, 5);
    ck_assert(listener >= 0);
    struct fiber *fiber = fiber_start("listener", accept_dovecot, NULL);
    fiber_sleep(1100000); /* it is not tried again at once */
    ck_assert(sasl_server_mechanisms(server, peer.security, &names));
    ASSERT_SLICE(buffer_slice(&names), "PLAIN LOGIN");
    a = once(server, "PLAIN", SLICE("\0good\0x"), arena);
    ck_assert_int_eq(a.outcome, SASL_OK);
    ASSERT_SLICE(a.user, "good");
    a = once(server, "PLAIN", SLICE("\0bad\0x"), arena);
    ck_assert_int_eq(a.outcome, SASL_FAILED);
    ck_assert_int_eq(a.layer, SASL_LAYER_DISABLED);
    a = once(server, "PLAIN", (struct slice){"\0odd\0x", 6}, arena); /* a line end in a name */
    ck_assert_int_eq(a.outcome, SASL_FAILED);
    ASSERT_SLICE(a.reason, "Authentication backend error");
    a = once(server, "PLAIN", SLICE("\0none\0x"), arena);
    ck_assert_int_eq(a.outcome, SASL_FAILED);
    struct sasl_exchange *x = sasl_exchange_new(server, SLICE("LOGIN"), &peer);
    sasl_exchange_step(x, false, (struct slice){0}, &a);
    ASSERT_SLICE(a.challenge, "VXNlcm5hbWU6");
    hang_up = true;
    sasl_exchange_step(x, true, SLICE("Zm9v"), &a);
    ck_assert_int_eq(a.outcome, SASL_TEMPORARY);
    ASSERT_SLICE(a.reason, "Connection lost to authentication server");
    sasl_exchange_free(x);
    hang_up = false;
    a = once(server, "PLAIN", SLICE("\0good\0x"), arena);
    ck_assert_int_eq(a.outcome, SASL_OK);
    fiber_cancel(fiber);
    fiber_yield();
    fiber_forget_fd(listener);
    close(listener);
    unlink(path);
    rmdir(directory);
    buffer_release(&names);
    arena_free(arena);
    _exit(0); /* the fiber that reads from the back end has no end */
}

START_TEST(test_plain) { run_main(plain, NULL); }
END_TEST
START_TEST(test_login) { run_main(login, NULL); }
END_TEST
START_TEST(test_scram) { run_main(scram, NULL); }
END_TEST
START_TEST(test_dovecot) { run_main(dovecot, NULL); }
END_TEST

TEST_MAIN("sasl/server", test_plain, test_login, test_scram, test_dovecot)
