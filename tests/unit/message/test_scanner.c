/* test_scanner.c - headers and MIME structure, whole and cut at every place */
#include "testing.h"

#include "message/header.h"

static struct buffer seen;

static void on_header(void *context, enum message_part part, struct slice text, bool truncated)
{
    buffer_printf(&seen, "%c[%.*s%s]", "PMN"[part], SLICE_ARGS(text), truncated ? "..." : "");
}

static void on_header_end(void *context, enum message_part part)
{
    buffer_printf(&seen, "%c.", "PMN"[part]);
}

static void on_body(void *context, struct slice line, bool more)
{
    buffer_printf(&seen, "(%.*s%s)", SLICE_ARGS(line), more ? "+" : "");
}

static void on_raw(void *context, struct slice data)
{
    buffer_append_slice(&seen, data);
}

static void on_error(void *context, const char *what, struct slice text)
{
    buffer_printf(&seen, "{%s}", what);
}

static const struct message_scanner_events with_body = {on_header, on_header_end, on_body, on_error, NULL};
static const struct message_scanner_events with_raw = {on_header, on_header_end, NULL, on_error, on_raw};
static const struct message_limits default_limits = {.header_size_limit = 102400, .line_length_limit = 2048, .mime_nesting_limit = 100,
                                                     .mime_boundary_length_limit = 2048, .mime_processing = true};

/* scan - feed text in pieces of the given size. */
static const char *scan(struct slice text, size_t piece, const struct message_limits *limits, const struct message_scanner_events *events)
{
    struct message_scanner *scanner = message_scanner_new(limits, events, NULL);
    buffer_clear(&seen);
    for (size_t i = 0; i < text.len; i += piece) {
        char *copy = slice_string(slice_first(slice_from(text, i), piece)); /* the memory does not stay */
        message_scanner_feed(scanner, slice_first(slice_make(copy, piece), text.len - i < piece ? text.len - i : piece));
        memset(copy, '#', strlen(copy));
        free(copy);
    }
    message_scanner_finish(scanner);
    if (message_scanner_in_primary_header(scanner))
        buffer_append_string(&seen, "P!");
    message_scanner_free(scanner);
    return buffer_string(&seen);
}

static const struct {
    const char *text, *lines, *raw;
} cases[] = {
    {"A: b\r\nC: d\r\n e\r\n\r\nbody\r\n", "P[A: b]P[C: d\r\n e]P.(body)", "P[A: b]P[C: d\r\n e]P.body\r\n"},
    {"A: b\r\n", "P[A: b]P!", "P[A: b]P!"},
    {"", "P!", "P!"},
    {"\r\nbody", "P.(body)", "P.body"},
    {"A: b\r\nnot a header\r\nC: d\r\n", "P[A: b]P.(not a header)(C: d)", "P[A: b]P.not a header\r\nC: d\r\n"},
    {"Subject : x\r\n\r\n", "P[Subject: x]P.", "P[Subject: x]P."},
    {"A: b\n\nx\n", "P[A: b]P.(x)", "P[A: b]P.x\n"},
    {"Content-Type: multipart/mixed; boundary=\"x\"\r\n\r\npre\r\n--x\r\nContent-Type: text/plain\r\n\r\none\r\n--x\r\n\r\ntwo\r\n--x--\r\nepi\r\n",
     "P[Content-Type: multipart/mixed; boundary=\"x\"]P.(pre)(--x)M[Content-Type: text/plain]M.(one)(--x)M.(two)(--x--)(epi)",
     "P[Content-Type: multipart/mixed; boundary=\"x\"]P.pre\r\n--x\r\nM[Content-Type: text/plain]M.one\r\n--x\r\nM.two\r\n--x--\r\nepi\r\n"},
    {"Content-type: multipart/mixed;\r\n boundary=x (c)\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nb\r\n--x--\r\n",
     "P[Content-type: multipart/mixed;\r\n boundary=x (c)]P.(--x)M[Content-Type: message/rfc822]M.N[Subject: in]N.(b)(--x--)", NULL},
    {"Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: in\r\n\r\nb\r\n--x--\r\n",
     "P[Content-Type: multipart/digest; boundary=x]P.(--x)M.N[Subject: in]N.(b)(--x--)", NULL},
    {"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nA: b\r\n--x\r\nC: d\r\n\r\n--x--\r\n",
     "P[Content-Type: multipart/mixed; boundary=x]P.(--x)M[A: b](--x)M[C: d]M.(--x--)", NULL},
    {"Content-Type: multipart/a; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/b; boundary=i\r\n\r\n--i\r\nX: y\r\n\r\nz\r\n--o\r\nQ: r\r\n\r\n--i\r\n--o--\r\n",
     "P[Content-Type: multipart/a; boundary=o]P.(--o)M[Content-Type: multipart/b; boundary=i]M.(--i)M[X: y]M.(z)(--o)M[Q: r]M.(--i)(--o--)", NULL},
    {"Content-Type: message/rfc822\r\n\r\nS: a\r\n\r\nb\r\n", "P[Content-Type: message/rfc822]P.N[S: a]N.(b)", NULL},
};

START_TEST(events_whole_and_cut)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice text = slice_of(cases[i].text);
        for (size_t piece = 1; piece <= text.len + 1; piece++) {
            const char *got = scan(text, piece, &default_limits, &with_body);
            ck_assert_msg(strcmp(got, cases[i].lines) == 0, "case %zu, pieces of %zu: got %s want %s", i, piece, got, cases[i].lines);
            if (!cases[i].raw)
                continue;
            got = scan(text, piece, &default_limits, &with_raw);
            ck_assert_msg(strcmp(got, cases[i].raw) == 0, "case %zu raw, pieces of %zu: got %s want %s", i, piece, got, cases[i].raw);
        }
    }
}
END_TEST

START_TEST(long_lines_come_in_pieces)
{
    char text[1100];
    memset(text, 'x', sizeof(text));
    memcpy(text, "\r\n", 2);
    memcpy(text + sizeof(text) - 2, "\r\n", 2);
    struct message_limits limits = default_limits;
    limits.line_length_limit = 512;
    for (size_t piece = 1; piece < sizeof(text); piece += 7) {
        scan(slice_make(text, sizeof(text)), piece, &limits, &with_body);
        ck_assert_uint_eq(seen.len, strlen("P.(+)(+)()") + 1096);
        ck_assert_int_eq(seen.data[2 + 1 + 512], '+');
    }
}
END_TEST

START_TEST(long_headers_are_cut)
{
    struct message_limits limits = default_limits;
    limits.header_size_limit = 10;
    ck_assert_str_eq(scan(SLICE("A: 1234\r\n 567\r\n 890\r\nB: x\r\n\r\n"), 100, &limits, &with_body), "P[A: 1234...]P[B: x]P.");
    ck_assert_str_eq(scan(SLICE("A: 1234567\r\nB: x\r\n\r\n"), 5, &limits, &with_body), "P[A: 1234567]P[B: x]P.");
}
END_TEST

START_TEST(strict_checks)
{
    struct message_limits limits = default_limits;
    limits.strict_7bit_headers = limits.strict_8bitmime_body = limits.strict_mime_encoding_domain = true;
    limits.mime_nesting_limit = 0;
    ck_assert_str_eq(scan(SLICE("S: \xe9\r\n\r\n\xe9\r\n\xe9\r\n"), 100, &limits, &with_raw),
                     "{improper use of 8-bit data in message header}P[S: \xe9]P.{improper use of 8-bit data in message body}\xe9\r\n\xe9\r\n");
    ck_assert_str_eq(scan(SLICE("Content-Transfer-Encoding: 8bit\r\n\r\n\xe9\r\n"), 3, &limits, &with_raw),
                     "P[Content-Transfer-Encoding: 8bit]P.\xe9\r\n");
    ck_assert_str_eq(scan(SLICE("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n"), 100, &limits, &with_raw),
                     "P[Content-Type: message/rfc822]P[Content-Transfer-Encoding: base64]P.{invalid message/* or multipart/* encoding domain}x\r\n");
    ck_assert_str_eq(scan(SLICE("Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nx: y\r\n"), 100, &limits, &with_raw),
                     "P[Content-Type: message/rfc822]P.N[Content-Type: message/rfc822]N.N[x: y]");
#define MULTI(name) "Content-Type: multipart/mixed; boundary=" name "\r\n\r\n--" name "\r\n"
    ck_assert_ptr_null(strstr(scan(SLICE(MULTI("a") MULTI("b") "\r\nx\r\n"), 100, &limits, &with_raw), "nesting"));
    ck_assert_ptr_nonnull(strstr(scan(SLICE(MULTI("a") MULTI("b") MULTI("c") "\r\nx\r\n"), 100, &limits, &with_raw), "{MIME nesting exceeds safety limit}"));
}
END_TEST

START_TEST(known_headers)
{
    ck_assert_int_eq(header_known(SLICE("message-ID")), HEADER_MESSAGE_ID);
    ck_assert_int_eq(header_known(SLICE("X-Other")), HEADER_OTHER);
    ck_assert_int_eq(header_known(SLICE("")), HEADER_OTHER);
    ck_assert_int_eq(header_flags(HEADER_RESENT_TO), HEADER_RECIPIENT_ADDRESSES | HEADER_EXTRACT | HEADER_RESENT);
    struct slice name, value;
    ck_assert(header_parse(SLICE("To:\r\n a"), &name, &value));
    ASSERT_SLICE(name, "To");
    ASSERT_SLICE(value, "a");
    ck_assert(!header_parse(SLICE(": x"), &name, &value));
    ck_assert(!header_parse(SLICE("From a b"), &name, &value));
    ck_assert(!header_parse(SLICE("no colon"), &name, &value));
}
END_TEST

START_TEST(content_is_measured)
{
    struct content_scan scan = {0};
    content_scan_feed(&scan, SLICE("A: b\r\n\r\n..dot"));
    content_scan_feed(&scan, SLICE("\r\n"));
    ck_assert(scan.has_dot_lines && !scan.has_8bit && !scan.has_long_lines);
    ck_assert_uint_eq(scan.lines, 3);
    ck_assert_uint_eq(scan.long_records, 0);
    char line[999];
    memset(line, 'x', sizeof(line));
    line[500] = '\xe9';
    content_scan_feed(&scan, slice_make(line, sizeof(line) - 1));
    content_scan_feed(&scan, SLICE("\r\n"));
    ck_assert(scan.has_8bit && !scan.has_long_lines);
    content_scan_feed(&scan, slice_make(line, sizeof(line)));
    content_scan_feed(&scan, SLICE("\r\n."));
    ck_assert(scan.has_long_lines);
    ck_assert_uint_eq(scan.long_records, 2);
    ck_assert_uint_eq(scan.lines, 5);
}
END_TEST

/* What must not go out as it is: in every piece size. */
START_TEST(strays_are_found)
{
    static const struct { const char *text; bool stray, dots; } rows[] = {
        {"a\r\nb\r\n", false, false}, {"a\nb\r\n", true, false}, {"a\rb\r\n", true, false}, {"a\r\r\n", true, false}, {"\r\n\r\n", false, false},
        {"a\r\n\nb\r\n", true, false}, {"\n", true, false}, {"\rx", true, false}, {"a\r\n.b\r\n", false, true}, {"a.b\r\n", false, false},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t piece = 1; piece <= strlen(rows[i].text); piece++) {
            struct content_scan scan = {0};
            for (struct slice rest = slice_of(rows[i].text); rest.len; rest = slice_from(rest, piece))
                content_scan_feed(&scan, slice_first(rest, piece));
            ck_assert_msg(scan.has_stray_cr_lf == rows[i].stray, "\"%s\" in pieces of %zu", rows[i].text, piece);
            ck_assert_int_eq(scan.has_dot_lines, rows[i].dots);
        }
    }
}
END_TEST

TEST_MAIN("message/scanner", events_whole_and_cut, long_lines_come_in_pieces, long_headers_are_cut, strict_checks, known_headers,
          content_is_measured, strays_are_found)
