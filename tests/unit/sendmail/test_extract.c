/* test_extract.c - recipients from headers */
#include "testing.h"

#include "../../../tools/sendmail/sendmail.h"

static void check(const char *const *headers, const char *want)
{
    struct recipient_list list = {0};
    struct arena *arena = arena_new(0);
    struct buffer got = BUFFER_INIT;
    for (; *headers; headers++)
        extract_recipients(slice_of(*headers), &list, arena);
    for (size_t i = 0; i < list.count; i++)
        buffer_printf(&got, "%s" SLICE_FORMAT, i ? " " : "", SLICE_ARGS(list.addresses[i]));
    ASSERT_SLICE(buffer_slice(&got), want);
    buffer_release(&got);
    free(list.addresses);
    arena_free(arena);
}

START_TEST(takes_addresses)
{
    check((const char *const[]){"To: alice,\n bob (comment)", "CC : Carol <carol@lab.test>", "Bcc:alice+bcc", "Subject: x@y", NULL},
          "alice bob carol@lab.test alice+bcc");
    check((const char *const[]){"To: group: a, b;, \"q r\"@h", "no header", "To:", "To: ,,", NULL}, "a b q r@h");
}
END_TEST

START_TEST(resent_headers_win)
{
    check((const char *const[]){"To: alice", "Resent-Sender: x", NULL}, "alice"); /* only recipients tell */
    check((const char *const[]){"To: alice", "Resent-From: x", "Resent-To: bob", "Cc: carol", "Resent-Bcc: dave", NULL}, "bob dave");
}
END_TEST

TEST_MAIN("sendmail/extract", takes_addresses, resent_headers_win)
