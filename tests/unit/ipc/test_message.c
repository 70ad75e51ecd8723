/* test_message.c - the codec: there and back, hostile bytes, copies */
#include "testing.h"

#include "base/cursor.h"
#include "ipc/message.h"

static struct arena *arena;
static struct buffer bytes;

static void begin(void)
{
    arena = arena_new(0);
    bytes = BUFFER_INIT;
}

static void end(void)
{
    arena_free(arena);
    buffer_release(&bytes);
}

static struct recipient recipients[300];

static struct delivery_request sample(void)
{
    for (size_t i = 0; i < COUNT_OF(recipients); i++) {
        recipients[i] = (struct recipient){.index = (int64_t)i, .notify = -5};
        recipients[i].address = i % 2 ? SLICE("someone@example.com") : SLICE("another@example.org");
    }
    struct delivery_request request = {.transport = SLICE("smtp"), .content_attached = true, .content_length = INT64_MAX};
    request.active_time = INT64_MIN;
    request.envelope.sender = SLICE("sender@example.com");
    request.envelope.smtputf8 = true;
    request.envelope.recipients = recipients;
    request.envelope.recipients_count = COUNT_OF(recipients);
    return request;
}

static void expect_sample(const struct delivery_request *got)
{
    ASSERT_SLICE(got->transport, "smtp");
    ASSERT_SLICE(got->next_hop, "");
    ck_assert(got->content_attached);
    ck_assert(got->content_length == INT64_MAX);
    ck_assert(got->active_time == INT64_MIN);
    ck_assert(got->content_key == 0);
    ASSERT_SLICE(got->envelope.sender, "sender@example.com");
    ck_assert(got->envelope.smtputf8);
    ck_assert(!got->envelope.hold);
    ck_assert_uint_eq(got->envelope.recipients_count, COUNT_OF(recipients));
    for (size_t i = 0; i < COUNT_OF(recipients); i++) {
        ck_assert_int_eq(got->envelope.recipients[i].index, (int)i);
        ck_assert_int_eq(got->envelope.recipients[i].notify, -5);
        ASSERT_SLICE(got->envelope.recipients[i].address, i % 2 ? "someone@example.com" : "another@example.org");
    }
}

START_TEST(goes_there_and_back)
{
    begin();
    struct delivery_request request = sample(), got;
    ck_assert(MESSAGE_ENCODE(delivery_request, &request, &bytes));
    ck_assert(MESSAGE_DECODE(delivery_request, buffer_slice(&bytes), arena, &got));
    expect_sample(&got);
    end();
}
END_TEST

START_TEST(leaves_out_what_is_empty)
{
    begin();
    struct delivery_request nothing = {0}, got;
    ck_assert(MESSAGE_ENCODE(delivery_request, &nothing, &bytes));
    ck_assert_uint_eq(bytes.len, 0);
    ck_assert(MESSAGE_DECODE(delivery_request, buffer_slice(&bytes), arena, &got));
    ck_assert_uint_eq(got.envelope.recipients_count, 0);
    /* But an item of a list is kept even when it is empty. */
    struct recipient empty[2] = {0};
    nothing.envelope.recipients = empty;
    nothing.envelope.recipients_count = 2;
    ck_assert(MESSAGE_ENCODE(delivery_request, &nothing, &bytes));
    ck_assert(MESSAGE_DECODE(delivery_request, buffer_slice(&bytes), arena, &got));
    ck_assert_uint_eq(got.envelope.recipients_count, 2);
    end();
}
END_TEST

START_TEST(copies_are_deep)
{
    begin();
    struct delivery_request request = sample(), got, copy;
    ck_assert(MESSAGE_ENCODE(delivery_request, &request, &bytes));
    struct arena *first = arena_new(0);
    ck_assert(MESSAGE_DECODE(delivery_request, buffer_slice(&bytes), first, &got));
    MESSAGE_COPY(delivery_request, &got, arena, &copy);
    arena_free(first);
    memset(bytes.data, 0, bytes.len);
    expect_sample(&copy);
    end();
}
END_TEST

START_TEST(skips_unknown_fields)
{
    begin();
    struct anvil_reply got;
    put_u8(&bytes, 200);
    put_counted(&bytes, SLICE("from the future"));
    put_u8(&bytes, 1);
    put_counted(&bytes, SLICE("\x0e"));
    ck_assert(MESSAGE_DECODE(anvil_reply, buffer_slice(&bytes), arena, &got));
    ck_assert_int_eq(got.connections, 7);
    end();
}
END_TEST

static const struct {
    const char *what;
    struct slice bytes;
} malformed[] = {
    {"tag without length", {"\x01", 1}},
    {"length past the end", {"\x01\x05" "ab", 4}},
    {"length of ten bytes", {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}},
    {"number cut off", {"\x02\x01\x80", 3}},
    {"number with bytes after it", {"\x02\x02\x01\x01", 4}},
    {"number of no bytes", {"\x02\x00", 2}},
    {"flag of two", {"\x08\x01\x02", 3}},
    {"malformed list item", {"\x04\x02\x01\x05", 4}},
    {"malformed second item", {"\x04\x00\x04\x02\x01\x05", 6}},
};

START_TEST(refuses_malformed_bytes)
{
    begin();
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        struct envelope got;
        ck_assert_msg(!MESSAGE_DECODE(envelope, malformed[i].bytes, arena, &got), "%s: accepted", malformed[i].what);
        ck_assert_uint_eq(got.recipients_count, 0);
    }
    end();
}
END_TEST

START_TEST(refuses_every_cut)
{
    begin();
    struct delivery_request request = sample(), got;
    request.envelope.recipients_count = 2;
    ck_assert(MESSAGE_ENCODE(delivery_request, &request, &bytes));
    size_t accepted = 0;
    for (size_t len = 0; len < bytes.len; len++)
        accepted += MESSAGE_DECODE(delivery_request, slice_first(buffer_slice(&bytes), len), arena, &got);
    ck_assert_uint_le(accepted, 6); /* only between the outermost fields */
    end();
}
END_TEST

START_TEST(bounds_lists)
{
    begin();
    struct envelope got;
    for (int i = 0; i < 1000001; i++)
        buffer_append(&bytes, "\x04\x00", 2);
    ck_assert(!MESSAGE_DECODE(envelope, buffer_slice(&bytes), arena, &got));
    end();
}
END_TEST

START_TEST(knows_messages_by_number)
{
    ck_assert_str_eq(message_name(MESSAGE_delivery_request), "delivery_request");
    ck_assert_uint_eq(message_struct_size(message_record_of(MESSAGE_anvil_reply)), sizeof(struct anvil_reply));
    ck_assert_ptr_null(message_record_of((enum message_type)0));
    ck_assert_ptr_null(message_record_of((enum message_type)9999));
    ck_assert_ptr_null(message_name((enum message_type)-1));
}
END_TEST

START_TEST(says_when_it_does_not_fit)
{
    struct buffer small = BUFFER_INIT_MAX(100);
    struct delivery_request request = sample();
    ck_assert(buffer_append_string(&small, "before"));
    ck_assert(!MESSAGE_ENCODE(delivery_request, &request, &small));
    ck_assert_str_eq(buffer_string(&small), "before");
    buffer_release(&small);
}
END_TEST

TEST_MAIN("ipc/message", goes_there_and_back, leaves_out_what_is_empty, copies_are_deep, skips_unknown_fields,
          refuses_malformed_bytes, refuses_every_cut, bounds_lists, knows_messages_by_number, says_when_it_does_not_fit)
