/* postcat: the shape of what is shown */
#include "testing.h"

#include "base/log.h"
#include "queue/crc32c.h"
#include "queue/maildrop_export.h"
#include "queue/record.h"
#include "queue/segment_search.h"
#include "../../../tools/postcat/damaged.h"

static void ignore_log(enum log_severity severity UNUSED, const char *text UNUSED, void *context UNUSED) {}

static char *shown(const struct print_options *options, const struct queue_record *record, int content_fd);

static void put(void *context, char type, struct slice data)
{
    print_record(context, type, data);
}

/* shown - what is printed, as a heap string. */
static char *shown(const struct print_options *options, const struct queue_record *record, int content_fd)
{
    struct printer printer;
    char *text = NULL;
    size_t len = 0;
    FILE *real = stdout;
    stdout = open_memstream(&text, &len);
    print_begin(&printer, options, "deferred/ABCDEF0123");
    ck_assert(maildrop_export(record, content_fd, put, &printer));
    fclose(stdout);
    stdout = real;
    return text;
}

static int content_file(struct slice content)
{
    char path[] = "/tmp/postcat-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, content.data, content.len), content.len);
    unlink(path);
    return fd;
}

static struct recipient recipients[2];
static char states[] = {RECIPIENT_STATE_PENDING, RECIPIENT_STATE_DONE};

static struct queue_record make_record(struct slice content)
{
    recipients[0] = (struct recipient){.address = SLICE("a@example.test")};
    recipients[1] = (struct recipient){.address = SLICE("\"b c\"@example.test"), .original = SLICE("B@example.test"), .orcpt = SLICE("rfc822;x@y"),
                                       .notify = 6};
    return (struct queue_record){
        .place = {.content_offset = 0, .content_length = content.len},
        .state = MESSAGE_STATE_LIVE,
        .envelope = {.queue_id = SLICE("ABCDEF0123"), .arrival_time = 1700000000000123, .sender = SLICE("s@example.test"), .recipients = recipients,
                     .recipients_count = 2, .message_size = 30, .rewrite_context = SLICE("local"), .client_name = SLICE("localhost"),
                     .client_address = SLICE("127.0.0.1"), .log_message_origin = SLICE("localhost[127.0.0.1]")},
        .recipient_states = states,
    };
}

START_TEST(everything)
{
    setenv("TZ", "UTC", 1);
    struct slice content = SLICE("Subject: x\r\nTo: y\r\n\r\nHello.\r\n");
    struct queue_record record = make_record(content);
    struct print_options options = {.envelope = true, .header = true, .body = true};
    int fd = content_file(content);
    char *text = shown(&options, &record, fd);
    ck_assert_str_eq(text,
                     "*** ENVELOPE RECORDS deferred/ABCDEF0123 ***\n"
                     "message_size:              29               0               2               0              30               0\n"
                     "message_arrival_time: Tue Nov 14 22:13:20 2023\n"
                     "create_time: Tue Nov 14 22:13:20 2023\n"
                     "named_attribute: log_ident=ABCDEF0123\n"
                     "named_attribute: rewrite_context=local\n"
                     "sender: s@example.test\n"
                     "named_attribute: log_client_name=localhost\n"
                     "named_attribute: log_client_address=127.0.0.1\n"
                     "named_attribute: log_message_origin=localhost[127.0.0.1]\n"
                     "named_attribute: client_name=localhost\n"
                     "named_attribute: client_address=127.0.0.1\n"
                     "named_attribute: client_address_type=2\n"
                     "named_attribute: dsn_orig_rcpt=rfc822;a@example.test\n"
                     "original_recipient: a@example.test\n"
                     "recipient: a@example.test\n"
                     "named_attribute: notify_flags=6\n"
                     "named_attribute: dsn_orig_rcpt=rfc822;x@y\n"
                     "original_recipient: B@example.test\n"
                     "done_recipient: b c@example.test\n"
                     "*** MESSAGE CONTENTS deferred/ABCDEF0123 ***\n"
                     "Subject: x\nTo: y\n\nHello.\n"
                     "*** HEADER EXTRACTED deferred/ABCDEF0123 ***\n"
                     "*** MESSAGE FILE END deferred/ABCDEF0123 ***\n");
    free(text);
    close(fd);
}
END_TEST

START_TEST(parts)
{
    struct slice content = SLICE("Subject: x\r\nTo: y\r\n\r\nHello.\r\n\r\nBye.\r\n");
    struct queue_record record = make_record(content);
    static const struct { struct print_options options; const char *want; } cases[] = {
        {{.header = true}, "Subject: x\nTo: y\n"},
        {{.body = true}, "\nHello.\n\nBye.\n"},
        {{.header = true, .body = true}, "Subject: x\nTo: y\n\nHello.\n\nBye.\n"},
    };
    int fd = content_file(content);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *text = shown(&cases[i].options, &record, fd);
        ck_assert_str_eq(text, cases[i].want);
        free(text);
    }
    close(fd);
}
END_TEST

/* Lines of every length, around the cuts of the reader: what goes in comes out. */
START_TEST(long_lines)
{
    struct buffer content = BUFFER_INIT, want = BUFFER_INIT;
    struct print_options options = {.header = true, .body = true};
    for (size_t i = 0; i < 400; i++) {
        size_t len = i < 200 ? i * 17 : 64 * 1024 - 200 + i;
        for (size_t k = 0; k < len % 70000; k++) {
            buffer_append_byte(&content, (char)('a' + (k + i) % 26));
            buffer_append_byte(&want, (char)('a' + (k + i) % 26));
        }
        buffer_append_string(&content, "\r\n");
        buffer_append_string(&want, "\n");
        if (i == 300)
            i = 396;
    }
    struct queue_record record = make_record(buffer_slice(&content));
    int fd = content_file(buffer_slice(&content));
    char *text = shown(&options, &record, fd);
    ck_assert_uint_eq(strlen(text), want.len);
    ck_assert(strcmp(text, buffer_string(&want)) == 0);
    free(text);
    close(fd);
    buffer_release(&content);
    buffer_release(&want);
}
END_TEST

/* ---- what was set aside ------------------------------------------------------------------------------------------- */

static char *shown_damaged(const uint8_t *bytes, size_t len, const char *name)
{
    static const struct print_options options = {.envelope = true, .header = true, .body = true};
    char *text = NULL;
    size_t size = 0;
    FILE *real = stdout;
    int fd = content_file(slice_make(bytes, len));
    stdout = open_memstream(&text, &size);
    ck_assert(damaged_show(fd, name, &options));
    fclose(stdout);
    stdout = real;
    close(fd);
    return text;
}

START_TEST(set_aside)
{
    log_set_watcher(ignore_log, NULL);
    struct slice content = SLICE("Subject: x\r\n\r\nHello.\r\n");
    struct queue_record record = make_record(content);
    struct buffer envelope = BUFFER_INIT, file = BUFFER_INIT;
    uint8_t head[RECORD_RECIPIENTS_OFFSET];
    ck_assert(MESSAGE_ENCODE(envelope, &record.envelope, &envelope));
    struct record_header header = {.segment = 0xAB, .offset = 0x40, .recipient_count = 2, .envelope_length = (uint32_t)envelope.len,
                                   .envelope_checksum = crc32c(0, envelope.data, envelope.len), .content_length = content.len,
                                   .content_checksum = 1, .queue_id = "ABCDEF0123", .state = MESSAGE_STATE_LIVE};
    record_header_build(&header, head);
    buffer_append(&file, head, sizeof(head));
    buffer_append(&file, "PD\0\0\0\0\0", 8);
    buffer_append_slice(&file, buffer_slice(&envelope));
    buffer_append_slice(&file, content);
    char *text = shown_damaged((uint8_t *)file.data, file.len, "corrupt/ABCDEF0123-00000000000000AB-40");
    ck_assert_ptr_nonnull(strstr(text, "sender: s@example.test\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n\nHello.\n"));
    free(text);
    file.data[20] ^= 1;
    text = shown_damaged((uint8_t *)file.data, file.len, "/x/00000000000000AB-40");
    ck_assert_ptr_nonnull(strstr(text, "Hello.\n"));
    free(text);
    buffer_release(&envelope);
    buffer_release(&file);
}
END_TEST

TEST_MAIN("postcat/print", everything, parts, long_lines, set_aside)
