/* test_postqueue.c - the showq stream, the two listings, qshape */
#include "testing.h"

#include "../../../tools/postqueue/listing.h"
#include "../../../tools/postqueue/qshape.h"
#include "queue/census.h"

#define ANNOUNCEMENT "protocol\0mail_queue_list_protocol\0\0"
#define FIRST                                                                                                               \
    "queue_name\0deferred\0queue_id\0ABCDEF0123\0time\0" "1795458177\0size\0" "2466\0forced_expire\0" "0\0sender\0a@b.test\0"  \
    "orig_recipient\0\0recipient\0x@c.test\0reason\0why not\0orig_recipient\0o@c.test\0recipient\0y@c.test\0reason\0why not\0" \
    "orig_recipient\0\0recipient\0z@c.test\0reason\0\0\0"
#define SECOND                                                                                                              \
    "queue_name\0active\0queue_id\0" "0123456789\0time\0" "1795458177\0size\0" "512\0forced_expire\0" "1\0sender\0MAILER-DAEMON\0" \
    "orig_recipient\0\0recipient\0q@c.test\0reason\0\0\0"

static char *printed;
static size_t printed_len;

/* render - through the parser in pieces of that size; "" when malformed. */
static const char *render(const char *bytes, size_t len, size_t piece, bool json, bool long_ids)
{
    free(printed);
    FILE *out = open_memstream(&printed, &printed_len);
    struct listing listing;
    listing_init(&listing, out, long_ids);
    struct queue_handler handler = json ? listing_json(&listing, false) : listing_text(&listing);
    struct queue_parser *parser = queue_parser_new(&handler);
    bool ok = true;
    for (size_t at = 0; at < len; at += piece)
        ok = ok && queue_parser_push(parser, slice_make(bytes + at, len - at < piece ? len - at : piece));
    ok = ok && queue_parser_is_complete(parser);
    if (!json)
        listing_text_end(&listing);
    listing_release(&listing);
    queue_parser_free(parser);
    fclose(out);
    return ok ? printed : "";
}

#define RENDER(text, piece, json, long_ids) render(text "", sizeof(text) - 1, piece, json, long_ids)

START_TEST(empty_queue)
{
    ck_assert_str_eq(RENDER(ANNOUNCEMENT "\0", 3, false, false), "Mail queue is empty\n");
    ck_assert_str_eq(RENDER("\0", 1, false, false), "Mail queue is empty\n");
    ck_assert_str_eq(RENDER(ANNOUNCEMENT "\0", 100, true, false), "");
}
END_TEST

START_TEST(text_short)
{
    static const char want[] =
        "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
        "ABCDEF0123     2466 Mon Nov 23 18:22:57  a@b.test\n"
        "                                                                     (why not)\n"
        "                                         x@c.test\n"
        "                                         y@c.test\n"
        "                                                          (reason unavailable)\n"
        "                                         z@c.test\n"
        "\n"
        "0123456789*#     512 Mon Nov 23 18:22:57  MAILER-DAEMON\n"
        "                                         q@c.test\n"
        "\n"
        "-- 2 Kbytes in 2 Requests.\n";
    for (size_t piece = 1; piece < 40; piece += 3)
        ck_assert_str_eq(RENDER(ANNOUNCEMENT FIRST SECOND "\0", piece, false, false), want);
}
END_TEST

START_TEST(text_long)
{
    ck_assert_str_eq(RENDER(SECOND "\0", 7, false, true),
                     "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
                     "0123456789*#           512 Mon Nov 23 18:22:57 MAILER-DAEMON\n"
                     "                                               q@c.test\n"
                     "\n"
                     "-- 0 Kbytes in 1 Request.\n");
}
END_TEST

START_TEST(json)
{
    ck_assert_str_eq(RENDER(ANNOUNCEMENT FIRST SECOND "\0", 5, true, false),
                     "{\"queue_name\": \"deferred\", \"queue_id\": \"ABCDEF0123\", \"arrival_time\": 1795458177, \"message_size\": 2466, "
                     "\"forced_expire\": false, \"sender\": \"a@b.test\", \"recipients\": [{\"address\": \"x@c.test\", \"delay_reason\": "
                     "\"why not\"}, {\"address\": \"y@c.test\", \"delay_reason\": \"why not\"}, {\"address\": \"z@c.test\"}]}\n"
                     "{\"queue_name\": \"active\", \"queue_id\": \"0123456789\", \"arrival_time\": 1795458177, \"message_size\": 512, "
                     "\"forced_expire\": true, \"sender\": \"MAILER-DAEMON\", \"recipients\": [{\"address\": \"q@c.test\"}]}\n");
}
END_TEST

START_TEST(json_escapes)
{
    ck_assert_str_eq(RENDER("queue_id\0A\0sender\0a\"\\\n\x01\xff\0\0\0", 100, true, false),
                     "{\"queue_name\": \"\", \"queue_id\": \"A\", \"arrival_time\": 0, \"message_size\": 0, \"forced_expire\": false, "
                     "\"sender\": \"a\\\"\\\\\\n\\u0001?\", \"recipients\": []}\n");
}
END_TEST

START_TEST(text_is_clean)
{
    const char *text = RENDER("queue_id\0A\0sender\0\x1b[2J\0recipient\0a\rb\0reason\0c\nd\0\0\0", 100, false, false);
    ck_assert_ptr_nonnull(strstr(text, "?[2J\n"));
    ck_assert_ptr_nonnull(strstr(text, "(c?d)\n"));
    ck_assert_ptr_nonnull(strstr(text, " a?b\n"));
}
END_TEST

START_TEST(unknown_attributes_are_skipped)
{
    ck_assert_ptr_nonnull(strstr(RENDER("new\0thing\0queue_id\0A\0other\0x\0recipient\0r@x\0later\0y\0\0\0", 2, false, false), " r@x\n"));
}
END_TEST

START_TEST(malformed)
{
    ck_assert_str_eq(RENDER("queue_id\0A\0size\0-5\0\0\0", 100, false, false), "");
    ck_assert_str_eq(RENDER("queue_id\0A\0time\0xx\0\0\0", 100, false, false), "");
    ck_assert_str_eq(RENDER("queue_id\0A\0", 100, false, false), ""); /* cut off */
    size_t len = 1 << 20;
    char *long_word = memory_zalloc(1, len);
    memset(long_word, 'x', len);
    ck_assert_str_eq(render(long_word, len, 4096, false, false), "");
    free(long_word);
}
END_TEST

/* ---- qshape ---- */

static const char *shape(const struct qshape_options *options)
{
    static const struct { const char *queue, *sender, *recipient; int64_t age; } rows[] = {
        {"active", "a@one.test", "x@a.b.test", 60}, {"active", "a@one.test", "x@A.b.test", 6 * 60}, {"active", "", "y@c.b.test", 1000000 * 60},
        {"deferred", "a@one.test", "x@elsewhere.test", 1}};
    free(printed);
    FILE *out = open_memstream(&printed, &printed_len);
    struct qshape *s = qshape_new(options);
    struct queue_query query = qshape_query(options);
    const int64_t now = 100000000 * INT64_C(1000000);
    struct census *census = census_new(&query, now);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct index_recipient recipient = {.address = slice_of(rows[i].recipient)};
        struct queue_item item = {.queue = rows[i].queue, .entry = {.sender = slice_of(rows[i].sender), .recipients = &recipient, .recipient_count = 1,
                                                                    .arrival_time = now - rows[i].age * 1000000}};
        if (strcmp(item.queue, "active") == 0)
            census_add(census, &item);
    }
    struct queue_group group;
    for (size_t position = 0; census_next(census, &position, &group);)
        qshape_add(s, &group);
    census_free(census);
    qshape_print(s, out);
    qshape_free(s);
    fclose(out);
    return printed;
}

START_TEST(qshape_table)
{
    struct qshape_options options = {.buckets = 3, .first_bucket = 5, .width = 40, .minimum_subdomains = 2};
    ck_assert_str_eq(shape(&options),
                     "                             T  5 10 10+\n"
                     "                      TOTAL  3  1  1   1\n"
                     "                   a.b.test  2  1  1   0\n"
                     "                   c.b.test  1  0  0   1\n");
    options.parents = true;
    ck_assert_ptr_nonnull(strstr(shape(&options), " .b.test  3  1  1   1\n"));
    options.by_sender = true;
    ck_assert_ptr_nonnull(strstr(shape(&options), " one.test  2  1  1   0\n"));
    ck_assert_ptr_nonnull(strstr(printed, " MAILER-DAEMON  1  0  0   1\n"));
}
END_TEST

int main(void)
{
    setenv("TZ", "UTC", 1);
    const TTest *tests[] = {empty_queue, text_short, text_long, json, json_escapes, text_is_clean, unknown_attributes_are_skipped, malformed,
                            qshape_table};
    Suite *suite = suite_create("postqueue");
    TCase *tcase = tcase_create("postqueue");
    for (size_t i = 0; i < COUNT_OF(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
