/* test_downgrade.c - 8-bit content to quoted-printable, part by part */
#include "testing.h"

#include "message/downgrade.h"

static struct downgrade state;
static struct message_scanner *scanner;

static void put_line(struct slice text)
{
    buffer_append_slice(state.output, text);
    buffer_append_string(state.output, "\r\n");
}

static void on_header(void *context, enum message_part part, struct slice text, bool truncated)
{
    if (!downgrade_header(&state, text))
        put_line(text);
}

static void on_header_end(void *context, enum message_part part)
{
    downgrade_header_end(&state, message_scanner_part(scanner));
    put_line(SLICE(""));
}

static void on_body(void *context, struct slice line, bool more)
{
    downgrade_body(&state, line, more);
}

static void on_delimiter(void *context, struct slice line, bool last)
{
    downgrade_part_over(&state);
    put_line(line);
}

static void check(const char *content, const char *want)
{
    static const struct message_limits limits = {.header_size_limit = 1000, .line_length_limit = 2048, .mime_nesting_limit = 10,
                                                 .mime_boundary_length_limit = 100, .mime_processing = true};
    static const struct message_scanner_events events = {.header = on_header, .header_end = on_header_end, .body = on_body,
                                                         .delimiter = on_delimiter};
    struct slice text = slice_of(content);
    for (size_t piece = 1; piece <= text.len; piece += 5) {
        struct buffer out = BUFFER_INIT;
        state = (struct downgrade){.output = &out};
        scanner = message_scanner_new(&limits, &events, NULL);
        for (size_t i = 0; i < text.len; i += piece)
            message_scanner_feed(scanner, slice_first(slice_from(text, i), piece));
        message_scanner_finish(scanner);
        downgrade_part_over(&state);
        ASSERT_SLICE(buffer_slice(&out), want);
        message_scanner_free(scanner);
        buffer_release(&out);
    }
}

START_TEST(one_part)
{
    check("Content-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\n\xc3\xa9 = a \r\n.\r\n",
          "Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9 =3D a=20\r\n.\r\n");
    check("Content-Transfer-Encoding: base64\r\n\r\nQUJD=\r\n", "Content-Transfer-Encoding: base64\r\n\r\nQUJD=\r\n");
    check("Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\nX: y\r\n\r\n\xc3\r\n", "Content-Transfer-Encoding: 7bit\r\nX: y\r\n\r\n\xc3\r\n");
    check("Subject: x\r\n\r\nundeclared \xc3\xa9\r\n", "Subject: x\r\n\r\nundeclared \xc3\xa9\r\n");
}
END_TEST

START_TEST(long_lines_get_soft_breaks)
{
    check("Content-Transfer-Encoding: 8bit\r\n\r\n1234567890123456789012345678901234567890123456789012345678901234567890123\xe9!\r\n",
          "Content-Transfer-Encoding: quoted-printable\r\n\r\n1234567890123456789012345678901234567890123456789012345678901234567890123=\r\n=E9!\r\n");
}
END_TEST

START_TEST(parts)
{
    check("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\npre=\r\n--b\r\nContent-Type: text/plain\r\n"
          "Content-Transfer-Encoding: 8bit\r\n\r\n=\xe9\r\n--b\r\n\r\nplain=\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n--b--\r\nepi=\r\n",
          "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\npre=\r\n--b\r\nContent-Type: text/plain\r\n"
          "Content-Transfer-Encoding: quoted-printable\r\n\r\n=3D=E9\r\n--b\r\n\r\nplain=\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n--b--\r\nepi=\r\n");
    check("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9\r\n",
          "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n");
}
END_TEST

TEST_MAIN("message/downgrade", one_part, long_lines_get_soft_breaks, parts)
