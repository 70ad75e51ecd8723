/* test_dropped.c - what pickup makes of a maildrop file */
#include "testing.h"

#include "../../../qmgr/pickup/pickup.h"

/* records - "S:bob|R:alice|M|N:line|X|E" in shorthand. */
static void records(const char *text, struct buffer *out)
{
    struct slice rest = slice_of(text), word;
    while (slice_next_token(&rest, "|", &word))
        maildrop_put(out, word.data[0], word.len > 2 ? slice_from(word, 2) : slice_of(""));
}

static struct buffer content;

static void put(void *context UNUSED, struct slice data)
{
    buffer_append_slice(&content, data);
}

static enum dropped_result read_file(const char *text, struct dropped *dropped, int64_t *size)
{
    struct buffer file = BUFFER_INIT;
    struct maildrop_reader reader;
    records(text, &file);
    *dropped = (struct dropped){.arena = arena_new(0)};
    maildrop_reader_memory(&reader, buffer_slice(&file));
    buffer_clear(&content);
    *size = 0;
    enum dropped_result result = dropped_envelope(dropped, &reader);
    if (result == DROPPED_OK)
        result = dropped_content(dropped, &reader, put, NULL, size);
    maildrop_reader_release(&reader);
    buffer_release(&file);
    return result;
}

START_TEST(reads_an_envelope)
{
    struct dropped d;
    int64_t size;
    ck_assert_int_eq(read_file("A:trace_flags=512|A:rewrite_context=remote|A:envelope_id=e1|A:ret_flags=2|F:Bob|S:bob x@h|A:encoding=8bit|"
                               "A:notify_flags=3|A:dsn_orig_rcpt=rfc822;a|R:alice|R:b@c|M|N:Subject: x|N:|L:part|N:rest|X|R:late|E",
                               &d, &size),
                     DROPPED_OK);
    ASSERT_SLICE(d.envelope.sender, "\"bob x\"@h");
    ASSERT_SLICE(d.envelope.sender_full_name, "Bob");
    ASSERT_SLICE(d.envelope.rewrite_context, "remote");
    ASSERT_SLICE(d.envelope.envelope_id, "e1");
    ASSERT_SLICE(d.envelope.encoding, "8bit");
    ck_assert_int_eq(d.envelope.ret, 2);
    ck_assert_int_eq(d.envelope.trace, TRACE_VERIFY_ONLY);
    ck_assert_uint_eq(d.envelope.recipients_count, 3);
    ASSERT_SLICE(d.envelope.recipients[0].address, "alice");
    ASSERT_SLICE(d.envelope.recipients[0].orcpt, "rfc822;a");
    ck_assert_int_eq(d.envelope.recipients[0].notify, NOTIFY_NEVER | NOTIFY_SUCCESS);
    ck_assert_int_eq(d.envelope.recipients[1].notify, 0);
    ASSERT_SLICE(d.envelope.recipients[2].address, "late");
    ASSERT_SLICE(buffer_slice(&content), "Subject: x\r\n\r\npartrest\r\n");
    ck_assert_int_eq(size, 21);
    arena_free(d.arena);
}
END_TEST

START_TEST(ends_the_last_line)
{
    struct dropped d;
    int64_t size;
    ck_assert_int_eq(read_file("S:|R:a|M|N:x|L:no end|X|E", &d, &size), DROPPED_OK);
    ASSERT_SLICE(d.envelope.sender, "");
    ASSERT_SLICE(buffer_slice(&content), "x\r\nno end\r\n");
    ck_assert_int_eq(size, 9);
    arena_free(d.arena);
}
END_TEST

START_TEST(breaks_lines_only_with_crlf)
{
    struct dropped d;
    int64_t size;
    ck_assert_int_eq(read_file("S:a|R:a|M|N:one\ntwo\r\nthree|X|E", &d, &size), DROPPED_OK);
    ASSERT_SLICE(buffer_slice(&content), "one\r\ntwo\r\nthree\r\n");
    arena_free(d.arena);
}
END_TEST

START_TEST(refuses_malformed_files)
{
    static const char *const bad[] = {
        "", "S:a|R:b", "S:a|R:b|M|N:x", "S:a|R:b|M|X", "R:b|M|X|E", "S:a|M|X|E", "N:x|S:a|R:b|M|X|E", "S:a|R:b|M|S:x|X|E", "S:a|R:b\nc|M|X|E",
        "S:a|R:b|M|N:x|X|N:y|E", "S:a|R:b|q:|M|X|E",
        "S:a|R:b|p:              0|p:              1|M|X|E", /* goes round for ever or into the middle of a record */
        "S:a|R:b|p:             -5|p:         999999|M|X|E",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct dropped d;
        int64_t size;
        ck_assert_msg(read_file(bad[i], &d, &size) == DROPPED_MALFORMED, "case %zu: %s", i, bad[i]);
        arena_free(d.arena);
    }
}
END_TEST

START_TEST(skips_what_was_delivered)
{
    struct dropped d;
    int64_t size;
    ck_assert_int_eq(read_file("C:  1|T:1700000000 5|A:log_ident=ABC|S:a|O:x|D:done|O:orig|R:todo|M|N:x|X|/:gone|E", &d, &size), DROPPED_OK);
    ck_assert_uint_eq(d.envelope.recipients_count, 1);
    ASSERT_SLICE(d.envelope.recipients[0].address, "todo");
    ASSERT_SLICE(d.envelope.recipients[0].original, "orig");
    ASSERT_SLICE(d.old_queue_id, "ABC");
    ck_assert_int_eq(d.envelope.arrival_time, INT64_C(1700000000000005));
    arena_free(d.arena);
}
END_TEST

TEST_MAIN("pickup/dropped", reads_an_envelope, ends_the_last_line, breaks_lines_only_with_crlf, refuses_malformed_files,
          skips_what_was_delivered)
