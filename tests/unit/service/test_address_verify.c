/* test_address_verify.c - entries of the verify cache, which may come from a damaged file or from somebody else's server */
#include "testing.h"

#include "service/address_verify.h"

static const struct address_verify_params params = {
    .address_verify_positive_expire_time = 31 * 86400 * MICROSECONDS, .address_verify_positive_refresh_time = 7 * 86400 * MICROSECONDS,
    .address_verify_negative_expire_time = 3 * 86400 * MICROSECONDS, .address_verify_negative_refresh_time = 3 * 3600 * MICROSECONDS};

START_TEST(texts)
{
    static const char *const bad[] = {"", "0", "0:1", "0:1:2", "4:1:2:x", "-1:1:2:x", "0:-1:2:x", "0:1:x:y", "3:9223372036854775807:0:x",
                                      "3:9223372036854:0:x" /* microseconds that fit, but not the time a probe has */};
    struct address_entry entry;

    ck_assert(address_entry_parse(SLICE("2:0:1700000000:no: such user"), &entry));
    ck_assert(entry.status == ADDRESS_UNDELIVERABLE && entry.probed == 0 && entry.updated == 1700000000 && slice_equal(entry.text, SLICE("no: such user")));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(!address_entry_parse(slice_of(bad[i]), &entry), "\"%s\" was taken", bad[i]);
}
END_TEST

START_TEST(times)
{
    int64_t now = 1700000000 * MICROSECONDS;
    struct address_entry entry;

    for (int status = ADDRESS_DELIVERABLE; status <= ADDRESS_PENDING; status++) { /* the latest there may be: no overflow, and no end */
        struct arena *arena = arena_new(256);
        struct slice text = arena_format(arena, "%d:4611686018427:4611686018427:x", status);
        ck_assert(address_entry_parse(text, &entry));
        ck_assert(!address_entry_expired(&params, &entry, now));
        ck_assert(!address_entry_due(&params, &entry, now));
        ck_assert_int_gt(address_entry_lifetime(&params, &entry, now), 0);
        arena_free(arena);
    }
}
END_TEST

TEST_MAIN("service/address_verify", texts, times)
