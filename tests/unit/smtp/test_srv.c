/* test_srv.c - the order of SRV records */
#include "testing.h"

#include "../../../smtp/srv.h"

static uint32_t next_random;

static uint32_t given(uint32_t limit)
{
    return next_random < limit ? next_random : limit - 1;
}

static const char *order(uint32_t random)
{
    static char text[64];
    struct dns_record records[] = {
        {.name = SLICE("c"), .preference = 20, .weight = 0}, {.name = SLICE("a"), .preference = 10, .weight = 60}, {.name = SLICE("d"), .preference = 20, .weight = 5},
        {.name = SLICE("b"), .preference = 10, .weight = 20}, {.name = SLICE("z"), .preference = 10, .weight = 0}};
    struct buffer out = BUFFER_INIT;
    next_random = random;
    srv_order(records, COUNT_OF(records), given);
    for (size_t i = 0; i < COUNT_OF(records); i++)
        buffer_append_slice(&out, records[i].name);
    snprintf(text, sizeof(text), "%s", buffer_string(&out));
    buffer_release(&out);
    return text;
}

START_TEST(by_priority_then_weight)
{
    ck_assert_str_eq(order(0), "zabcd");  /* what has no weight is drawn with the least number only */
    ck_assert_str_eq(order(1), "abzdc");
    ck_assert_str_eq(order(61), "bazdc");
}
END_TEST

START_TEST(refusals)
{
    struct dns_record root = {.name = SLICE("")}, host = {.name = SLICE("h")};
    ck_assert(srv_is_refusal(&(struct dns_answer){.records = &root, .count = 1}));
    ck_assert(!srv_is_refusal(&(struct dns_answer){.records = &host, .count = 1}));
}
END_TEST

TEST_MAIN("smtp/srv", by_priority_then_weight, refusals)
