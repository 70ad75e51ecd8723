/* test_greylist.c - names of triplets, records, replies; networks of clients */
#include "testing.h"

#include "../../../smtpd/greylist.h"
#include "../../../smtpd/network.h"
#include "service/store.h"

START_TEST(keys)
{
    static const struct { const char *sender, *recipient, *want; } cases[] = {
        {"A@Example.com", "B@Example.org", "t:192.0.2.0/24 a@example.com b@example.org"},
        {"", "b@x", "t:192.0.2.0/24  b@x"},
        {"bounce-12345-67@list.example", "b@x", "t:192.0.2.0/24 bounce-#-#@list.example b@x"},
        {"list+b=x@list2.example", "b@x", "t:192.0.2.0/24 list@list2.example b@x"},
        {"+x@list.example", "b@x", "t:192.0.2.0/24 +x@list.example b@x"},
        {"12@34", "b12@x", "t:192.0.2.0/24 #@34 b12@x"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer key = BUFFER_INIT;
        greylist_key(SLICE("192.0.2.0/24"), slice_of(cases[i].sender), slice_of(cases[i].recipient), &key);
        ASSERT_SLICE(buffer_slice(&key), cases[i].want);
        buffer_release(&key);
    }
}
END_TEST

START_TEST(long_keys)
{
    struct buffer address = BUFFER_INIT, one = BUFFER_INIT, other = BUFFER_INIT;
    while (address.len < 3000)
        buffer_append_string(&address, "x");
    greylist_key(SLICE("n"), buffer_slice(&address), SLICE("a"), &one);
    greylist_key(SLICE("n"), buffer_slice(&address), SLICE("b"), &other);
    ck_assert_uint_le(one.len, STORE_KEY_MAX);
    ck_assert(!slice_equal(buffer_slice(&one), buffer_slice(&other)));
    buffer_clear(&one);
    greylist_key(SLICE("n"), slice_make("a\0b", 3), SLICE("b"), &one);
    ck_assert_uint_eq(slice_find(buffer_slice(&one), '\0'), one.len);
    buffer_release(&address);
    buffer_release(&one);
    buffer_release(&other);
}
END_TEST

START_TEST(records)
{
    struct buffer text = BUFFER_INIT;
    struct greylist_entry entry = {.first = 5, .passed = true}, back;
    struct greylist_client client = {3, 99}, known;

    greylist_format(&entry, &text);
    ck_assert(greylist_parse(buffer_slice(&text), &back) && back.first == 5 && back.passed);
    buffer_clear(&text);
    greylist_client_format(&client, &text);
    ck_assert(greylist_client_parse(buffer_slice(&text), &known) && known.count == 3 && known.last == 99);
    buffer_release(&text);
    static const char *const broken[] = {"", " ", "5", "5 ", "x 1", "-5 0", "0 0", "5 1 1"};
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        ck_assert_msg(!greylist_parse(slice_of(broken[i]), &back) && back.first == 0 && !back.passed, "%s", broken[i]);
}
END_TEST

START_TEST(replies)
{
    static const struct { const char *text; int64_t left; const char *want; } cases[] = {
        {"in %s seconds", 299500000, "in 300 seconds"}, {"100%% sure, %d, %s%s", 1, "100% sure, %d, 11"}, {"%", 1, "%"}, {"plain", 1, "plain"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer text = BUFFER_INIT;
        greylist_reply(cases[i].text, cases[i].left, &text);
        ASSERT_SLICE(buffer_slice(&text), cases[i].want);
        buffer_release(&text);
    }
}
END_TEST

START_TEST(networks)
{
    static const struct { const char *address; int64_t four, six; const char *want; } cases[] = {
        {"192.0.2.77", 24, 64, "192.0.2.0/24"}, {"192.0.2.77", 32, 64, "192.0.2.77"}, {"192.0.2.77", 0, 64, "0.0.0.0/0"},
        {"192.0.2.255", 30, 64, "192.0.2.252/30"}, {"2001:db8:1:2:3::4", 24, 64, "2001:db8:1:2::/64"},
        {"2001:db8:1:2:3::4", 24, 128, "2001:db8:1:2:3::4"}, {"2001:db8:1:ff::4", 24, 60, "2001:db8:1:f0::/60"}, {"192.0.2.77", -1, 64, "192.0.2.77"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer text = BUFFER_INIT;
        struct net_address address;
        ck_assert(net_address_parse(&address, slice_of(cases[i].address), 0));
        network_text(&address, cases[i].four, cases[i].six, &text);
        ASSERT_SLICE(buffer_slice(&text), cases[i].want);
        buffer_release(&text);
    }
}
END_TEST

TEST_MAIN("smtpd/greylist", keys, long_keys, records, replies, networks)
