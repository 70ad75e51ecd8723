/* test_reply.c - what servers say, good and hostile */
#include "testing.h"

#include "script.h"

static bool read_one(const char *text, size_t step, struct reply *reply, struct buffer *copy)
{
    struct client_params params = {0};
    struct script script = {.text = text, .length = strlen(text), .step = step};
    struct session *session = script_session(&script, &params);
    bool good = session_reply(session, MICROSECONDS, reply);

    buffer_clear(copy);
    buffer_append_slice(copy, reply->text);
    session_close(&params, session);
    buffer_release(&script.said);
    return good;
}

START_TEST(replies)
{
    static const struct { const char *text; bool good; int code; int class, subject, detail; const char *want; } rows[] = {
        {"250 2.1.0 Ok\r\n", true, 250, 2, 1, 0, "250 2.1.0 Ok"},
        {"250-first\r\n250-second\r\n250 last\r\n", true, 250, 2, 0, 0, "250-first 250-second 250 last"},
        {"550-5.7.1 one\r\n550 5.7.1 two\r\n", true, 550, 5, 7, 1, "550-5.7.1 one 550 5.7.1 two"},
        {"550 4.7.1 the classes differ\r\n", true, 550, 5, 0, 0, "550 4.7.1 the classes differ"},
        {"354\r\n", true, 354, 3, 0, 0, "354"},
        {"220 no CR\n", true, 220, 2, 0, 0, "220 no CR"},
        {"hello\r\n", false, 0, 0, 0, 0, ""},
        {"999 what\r\n", true, 999, 9, 0, 0, "999 what"}, /* not refused here: who asked says what it means */
        {"", false, 0, 0, 0, 0, ""},
    };
    struct buffer text = BUFFER_INIT;
    struct reply reply;

    log_set_watcher(script_quiet, NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t step = 1; step < 40; step += 13) {
            bool good = read_one(rows[i].text, step, &reply, &text);
            ck_assert_msg(good == rows[i].good && reply.code == rows[i].code, "\"%s\": got %d, code %d", rows[i].text, good, reply.code);
            if (!good)
                continue;
            ck_assert_str_eq(buffer_string(&text), rows[i].want);
            ck_assert_int_eq(reply.status.class, rows[i].class);
            ck_assert_int_eq(reply.status.subject, rows[i].subject);
            ck_assert_int_eq(reply.status.detail, rows[i].detail);
        }
    }
    buffer_release(&text);
}
END_TEST

START_TEST(endless_reply)
{
    struct buffer flood = BUFFER_INIT, text = BUFFER_INIT;
    struct reply reply;

    log_set_watcher(script_quiet, NULL);
    for (int i = 0; i < 2000; i++)
        buffer_append_string(&flood, "250-more and more and more\r\n");
    ck_assert(!read_one(buffer_string(&flood), 4096, &reply, &text));
    ck_assert_uint_le(text.len, 8192);
    buffer_clear(&flood);
    buffer_append_string(&flood, "250 ");
    for (int i = 0; i < 20000; i++)
        buffer_append_byte(&flood, 'x');
    buffer_append_string(&flood, "\r\n");
    ck_assert(read_one(buffer_string(&flood), 4096, &reply, &text));
    ck_assert_uint_le(text.len, 2048);
    buffer_release(&flood);
    buffer_release(&text);
}
END_TEST

START_TEST(destinations)
{
    static const struct { const char *text; bool good; const char *host; unsigned port; bool mx; } rows[] = {
        {"example.com", true, "example.com", 25, true}, {"example.com:26", true, "example.com", 26, true}, {"[example.com]", true, "example.com", 25, false},
        {"[192.0.2.1]:2525", true, "192.0.2.1", 2525, false}, {"[IPv6:2001:db8::1]", true, "2001:db8::1", 25, false},
        {"[example.com", false, "", 0, false}, {"[example.com]x", false, "", 0, false}, {"example.com:nonsense", false, "", 0, false}};
    struct client_params params = {.default_port = 25};
    struct arena *arena = arena_new(0);
    struct destination destination;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool good = destination_parse(&params, slice_of(rows[i].text), arena, &destination);
        ck_assert_msg(good == rows[i].good, "%s", rows[i].text);
        if (!good)
            continue;
        ASSERT_SLICE(destination.host, rows[i].host);
        ck_assert_uint_eq(destination.port, rows[i].port);
        ck_assert_int_eq(destination.mx_lookup, rows[i].mx);
    }
    arena_free(arena);
}
END_TEST

TEST_MAIN("smtp/reply", replies, endless_reply, destinations)
