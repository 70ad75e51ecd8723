/* test_session.c - dialogues with a filter that is a fiber of the same process */
#include "testing.h"

#include "milter/milter.h"
#include "milter/reply.h"
#include "net/address.h"
#include "net/stream.h"
#include "run/run.h"

/* The filter: answers the commands named in script, "c" to all others that want an answer; keeps their letters. */
struct answer {
    char command;
    struct slice packets[4]; /* code and data; data NULL ends */
};
static struct {
    const struct answer *script;
    uint32_t version, actions, steps;
    struct buffer letters;   /* of what came, macros left out */
    struct buffer last;      /* data of the last command other than macros */
    struct buffer macros;    /* all data of "D" */
    struct stream *stream;   /* while it serves */
} filter;
static int listening;
static struct config *config;
static struct buffer edits;

static void send_packet(struct slice packet)
{
    struct buffer out = BUFFER_INIT;

    milter_put_u32(&out, (uint32_t)packet.len);
    buffer_append_slice(&out, packet);
    stream_write_slice(filter.stream, buffer_slice(&out));
    buffer_release(&out);
}

static void answer_command(char command)
{
    for (const struct answer *a = filter.script; a && a->command; a++) {
        if (a->command != command)
            continue;
        for (size_t i = 0; i < COUNT_OF(a->packets) && a->packets[i].data; i++)
            send_packet(a->packets[i]);
        return;
    }
    if (!strchr("DAQ", command))
        send_packet(SLICE("c"));
}

static void negotiate(void)
{
    struct buffer out = BUFFER_INIT;

    buffer_append_byte(&out, 'O');
    milter_put_u32(&out, filter.version);
    milter_put_u32(&out, filter.actions);
    milter_put_u32(&out, filter.steps);
    send_packet(buffer_slice(&out));
    buffer_release(&out);
}

static void take(char command, struct slice data)
{
    if (command == 'D') {
        buffer_append_slice(&filter.macros, data);
        return;
    }
    buffer_append_byte(&filter.letters, command);
    buffer_clear(&filter.last);
    buffer_append_slice(&filter.last, data);
}

static void serve(void *arg UNUSED)
{
    unsigned char head[5];
    int fd;

    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0)
        fiber_sleep(500);
    filter.stream = stream_new_fd(fd);
    stream_set_deadline(filter.stream, clock_after(10 * MICROSECONDS));
    while (stream_read(filter.stream, head, 5)) {
        size_t len = ((size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]) - 1;
        char *data = memory_alloc(len + 1);
        if (len)
            stream_read(filter.stream, data, len);
        take((char)head[4], slice_make(data, len));
        free(data);
        if (head[4] == 'O')
            negotiate();
        else
            answer_command((char)head[4]);
        stream_flush(filter.stream);
    }
    stream_free(filter.stream);
    filter.stream = NULL;
}

static struct slice macro(void *context UNUSED, struct slice name)
{
    return slice_equal(name, SLICE("j")) ? SLICE("mx.test") : slice_equal(name, SLICE("i")) ? SLICE("QID") : (struct slice){0};
}

/* begin - a filter with this script and a session with it. */
static struct milters *begin(const struct answer *script, const char *options, struct milter_list **list)
{
    struct net_address address;
    char text[160];

    filter.script = script;
    ck_assert(net_address_parse(&address, SLICE("127.0.0.1"), 0));
    listening = net_listen(&address, 10);
    ck_assert(listening >= 0 && net_local(listening, &address));
    snprintf(text, sizeof(text), "{ inet:127.0.0.1:%u, %s }", net_address_port(&address), options);
    config = config_empty_reporting(config_ignore_problem, NULL);
    *list = milter_list_open(slice_of(text), "smtpd_milters", config);
    fiber_start("filter", serve, NULL);
    return milters_new(*list, macro, NULL);
}

static void end(struct milters *m, struct milter_list *list)
{
    milters_quit(m);
    milters_free(m);
    milter_list_close(list);
    while (filter.stream)
        fiber_sleep(500);
    config_free(config);
    close(listening);
    buffer_release(&filter.letters);
    buffer_release(&filter.last);
    buffer_release(&filter.macros);
    buffer_release(&edits);
}

static void greet(struct milters *m, struct milter_outcome *outcome)
{
    milters_connect(m, SLICE("client.test"), '4', 25, SLICE("192.0.2.1"), outcome);
    ck_assert_int_eq(outcome->verdict, MILTER_CONTINUE);
    milters_helo(m, SLICE("helo.test"), outcome);
}

/* ---- an editor that writes down ---- */

static const char *note(const char *what, struct slice a, struct slice b)
{
    buffer_printf(&edits, "%s[" SLICE_FORMAT "][" SLICE_FORMAT "]", what, SLICE_ARGS(a), SLICE_ARGS(b));
    return slice_equal(a, SLICE("X-Full")) ? "452 4.3.1 no room" : NULL;
}
static const char *add_header(void *context UNUSED, struct slice name, struct slice value) { return note("h", name, value); }
static const char *insert_header(void *context UNUSED, uint32_t index, struct slice name, struct slice value)
{
    return note(index == 3 ? "i3" : "i?", name, value);
}
static const char *change_header(void *context UNUSED, uint32_t index, struct slice name, struct slice value, bool delete)
{
    return note(delete ? "delete" : index == 1 ? "m1" : "m?", name, value);
}
static const char *replace_body(void *context UNUSED, struct slice piece, bool first) { return note(first ? "b1" : "b", piece, SLICE("")); }
static const char *change_sender(void *context UNUSED, struct slice a, struct slice p) { return note("e", a, p); }
static const char *add_recipient(void *context UNUSED, struct slice a, struct slice p) { return note("+", a, p); }
static const char *delete_recipient(void *context UNUSED, struct slice a) { return note("-", a, SLICE("")); }
static const char *quarantine(void *context UNUSED, struct slice reason) { return note("q", reason, SLICE("")); }
static const struct milter_editor editor = {add_header, insert_header, change_header, replace_body, change_sender, add_recipient, delete_recipient, quarantine};

/* ---- tests ---- */

static void stages(void *arg UNUSED)
{
    static const struct answer script[] = {{'R', {{"y550 5.1.1 no\0", 14}}}, {'T', {{"p", 1}, {"t", 1}}}, {'U', {{"d", 1}}}, {0}};
    struct milter_list *list;
    struct milter_outcome o;
    struct milters *m = begin(script, "command_timeout=5s", &list);

    greet(m, &o);
    ck_assert_int_eq(o.verdict, MILTER_CONTINUE);
    milters_mail(m, SLICE("<a@b>"), SLICE("SIZE=1  BODY=7BIT"), &o);
    ck_assert(slice_equal(buffer_slice(&filter.last), (struct slice){"<a@b>\0SIZE=1\0BODY=7BIT\0", 23}));
    milters_rcpt(m, SLICE("<c@d>"), SLICE(""), &o);
    ck_assert_int_eq(o.verdict, MILTER_REJECT);
    ck_assert_int_eq(o.code, 550);
    ck_assert_str_eq(o.status, "5.1.1");
    ck_assert_str_eq(o.text, "no");
    milters_data(m, &o);
    ck_assert_int_eq(o.code, 451);
    ck_assert_str_eq(o.text, "Service unavailable - try again later");
    milters_unknown(m, SLICE("FOO"), &o);
    ck_assert_int_eq(o.verdict, MILTER_DISCARD);
    milters_abort(m);
    milters_quit(m);
    while (filter.stream)
        fiber_sleep(500);
    ck_assert_str_eq(buffer_string(&filter.letters), "OCHMRTUAQ");
    ck_assert(slice_search(buffer_slice(&filter.macros), (struct slice){"Cj\0mx.test\0{daemon_name}\0", 25}) == 0);
    end(m, list);
}

static void sticky(void *arg UNUSED)
{
    static const struct answer script[] = {{'H', {{"r", 1}}}, {0}};
    struct milter_list *list;
    struct milter_outcome o;
    struct milters *m = begin(script, "command_timeout=5s", &list);

    greet(m, &o);
    ck_assert_int_eq(o.code, 550);
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o); /* not asked any more */
    ck_assert_int_eq(o.code, 550);
    milters_abort(m);
    milters_settled(m, &o);
    ck_assert_int_eq(o.verdict, MILTER_REJECT);
    milters_restart(m);
    milters_settled(m, &o);
    ck_assert_int_eq(o.verdict, MILTER_CONTINUE);
    end(m, list);
}

/* failure - what a filter that breaks the protocol at MAIL does to the session. */
static void failure(const struct answer *script, const char *options, enum milter_verdict verdict, int code)
{
    struct milter_list *list;
    struct milter_outcome o;
    struct milters *m = begin(script, options, &list);

    greet(m, &o);
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    ck_assert_msg(o.verdict == verdict && (verdict != MILTER_REJECT || o.code == code), "%s: got %d %d", options, (int)o.verdict, o.code);
    milters_abort(m);
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    ck_assert_int_eq(o.verdict, verdict);
    end(m, list);
}

static void failures(void *arg UNUSED)
{
    static const struct answer silent[] = {{'M', {{NULL, 0}}}, {0}}, edit[] = {{'M', {{"hX\0y\0", 5}}}, {0}},
                               bad_text[] = {{'M', {{"y250 ok\0", 8}}}, {0}}, shutdown[] = {{'M', {{"4", 1}}}, {0}};

    failure(silent, "command_timeout=1s, default_action=tempfail", MILTER_REJECT, 451);
    failure(silent, "command_timeout=1s, default_action=accept", MILTER_CONTINUE, 0);
    failure(silent, "command_timeout=1s, default_action=quarantine", MILTER_HOLD, 0);
    failure(silent, "command_timeout=1s, default_action=shutdown", MILTER_REJECT, 421);
    failure(silent, "command_timeout=1s, default_action=reject", MILTER_REJECT, 550);
    failure(edit, "default_action=accept", MILTER_CONTINUE, 0);
    failure(edit, "default_action=reject", MILTER_REJECT, 550);
    failure(bad_text, "default_action=accept", MILTER_CONTINUE, 0);
    failure(bad_text, "default_action=quarantine", MILTER_HOLD, 0);
    failure(bad_text, "default_action=reject", MILTER_REJECT, 451);
    failure(shutdown, "default_action=accept", MILTER_REJECT, 421);
}

static void content(void *arg UNUSED)
{
    static const struct answer script[] = {{'E', {{"h\0", 2}}}, {0}}, /* an empty name: no packet at all */
                               edits_script[] = {{'E', {{"hX-A\0b\r\n c\0", 11}, {"b1\r\n", 4}, {"b2\r\n", 4}, {"c", 1}}}, {0}};
    struct milter_list *list;
    struct milter_outcome o;
    struct milters *m = begin(edits_script, "command_timeout=5s", &list);
    char body[70000];

    memset(body, 'x', sizeof(body));
    greet(m, &o);
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    struct milter *f = milters_next(m, NULL);
    ck_assert(f && !milters_next(m, f) && milters_want_content(m));
    ck_assert(milter_header(f, SLICE("Subject"), SLICE(" a\r\n\tb")));
    ck_assert(slice_equal(buffer_slice(&filter.last), (struct slice){"Subject\0a\n\tb\0", 13}));
    ck_assert(milter_end_of_header(f));
    ck_assert(milter_body(f, slice_make(body, 30000)) && milter_body(f, slice_make(body, 40000)));
    ck_assert_uint_eq(filter.last.len, MILTER_CHUNK);
    milter_end_of_message(f, &editor, NULL, &o);
    ck_assert_int_eq(o.verdict, MILTER_CONTINUE);
    ck_assert_str_eq(buffer_string(&filter.letters), "OCHMLNBBE");
    ck_assert_str_eq(buffer_string(&edits), "h[X-A][ b\n c]b1[1\r\n][]b[2\r\n][]");
    milters_abort(m);
    filter.script = script;
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    f = milters_next(m, NULL);
    milter_end_of_message(f, &editor, NULL, &o);
    ck_assert_int_eq(o.code, 451);
    end(m, list);
}

static void decisions(void *arg UNUSED)
{
    static const struct answer skip[] = {{'L', {{"s", 1}}}, {'B', {{"s", 1}}}, {'E', {{"d", 1}}}, {0}}, reject[] = {{'L', {{"y550 5.7.1 bad\0", 15}}}, {0}},
                               full[] = {{'E', {{"hX-Full\0x\0", 10}, {"c", 1}}}, {0}};
    struct milter_list *list;
    struct milter_outcome o;
    struct milters *m = begin(skip, "command_timeout=5s", &list);

    greet(m, &o);
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    struct milter *f = milters_next(m, NULL);
    ck_assert(milter_header(f, SLICE("A"), SLICE(" 1")) && milter_header(f, SLICE("B"), SLICE(" 2")) && milter_end_of_header(f));
    ck_assert(milter_body(f, SLICE("x\r\n")));
    milter_end_of_message(f, &editor, NULL, &o);
    ck_assert_int_eq(o.verdict, MILTER_DISCARD);
    ck_assert_str_eq(buffer_string(&filter.letters), "OCHMLNBE");
    milters_abort(m);
    filter.script = reject;
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    f = milters_next(m, NULL);
    ck_assert(!milter_header(f, SLICE("A"), SLICE(" 1")));
    milter_end_of_message(f, &editor, NULL, &o);
    ck_assert_int_eq(o.code, 550);
    milters_abort(m);
    filter.script = full;
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    milter_end_of_message(milters_next(m, NULL), &editor, NULL, &o);
    ck_assert_int_eq(o.code, 452);
    ck_assert_str_eq(o.text, "no room");
    end(m, list);
}

/* ---- handing over ---- */

static struct milters *taken;

static void pass(void *context UNUSED, const struct submit_milter *message, int fd)
{
    milters_take(taken, message, dup(fd));
}

static void hand_over(void *arg UNUSED)
{
    static const struct answer script[] = {{'E', {{"q\0", 2}, {"a", 1}}}, {0}};
    struct milter_list *list;
    struct milter_outcome o;
    struct milters *m = begin(script, "command_timeout=5s", &list);

    greet(m, &o);
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    taken = milters_new(NULL, NULL, NULL);
    milters_hand_over(m, pass, NULL);
    buffer_clear(&filter.macros);
    struct milter *f = milters_next(taken, NULL);
    ck_assert(f && milter_header(f, SLICE("A"), SLICE(" 1")));
    ck_assert(slice_equal(buffer_slice(&filter.macros), (struct slice){"Li\0QID\0", 7}));
    milter_end_of_message(f, &editor, NULL, &o);
    ck_assert_int_eq(o.verdict, MILTER_CONTINUE);
    ck_assert_str_eq(buffer_string(&edits), "q[][]");
    milters_free(taken);
    milters_abort(m);
    milters_mail(m, SLICE("<a@b>"), SLICE(""), &o);
    ck_assert_int_eq(o.verdict, MILTER_CONTINUE);
    ck_assert_str_eq(buffer_string(&filter.letters), "OCHMLEAM");
    end(m, list);
}

/* ---- settings ---- */

static void bad_lists(void *arg UNUSED)
{
    static const struct { const char *text; int code; } rows[] = {
        {"foo:bar", 451}, {"inet:nothing", 451}, {"{ inet:127.0.0.1:1, what=1 }", 451}, {"{ }", 451}, {"{ inet:127.0.0.1:1, protocol=9 }", 451},
        {"{ unix:/nowhere/at/all, default_action=reject }", 550}, {"{ foo:bar, { default_action = shutdown } }", 421},
    };
    struct milter_outcome o;

    config = config_empty_reporting(config_ignore_problem, NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct milter_list *list = milter_list_open(slice_of(rows[i].text), "smtpd_milters", config);
        struct milters *m = milters_new(list, macro, NULL);
        ck_assert(!milter_list_is_empty(list));
        milters_connect(m, SLICE("client.test"), 'U', 0, SLICE(""), &o);
        ck_assert_msg(o.verdict == MILTER_REJECT && o.code == rows[i].code, "%s: got %d", rows[i].text, o.code);
        milters_free(m);
        milter_list_close(list);
    }
    struct milter_list *none = milter_list_open(SLICE(" , "), "smtpd_milters", config);
    ck_assert(milter_list_is_empty(none));
    milter_list_close(none);
    config_free(config);
}

static void run_test(void (*test)(void *arg))
{
    filter.version = 6;
    filter.actions = 0x1ff;
    run_main(test, NULL);
}

START_TEST(test_stages) { run_test(stages); } END_TEST
START_TEST(test_sticky) { run_test(sticky); } END_TEST
START_TEST(test_failures) { run_test(failures); } END_TEST
START_TEST(test_content) { run_test(content); } END_TEST
START_TEST(test_decisions) { run_test(decisions); } END_TEST
START_TEST(test_hand_over) { run_test(hand_over); } END_TEST

START_TEST(test_bad_lists) { run_test(bad_lists); } END_TEST

TEST_MAIN("milter/session", test_bad_lists, test_stages, test_sticky, test_failures, test_content, test_decisions, test_hand_over)
