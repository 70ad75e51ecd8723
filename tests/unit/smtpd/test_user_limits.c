/* test_user_limits.c - the exceptions of smtpd_user_limit_exception_maps */
#include "testing.h"

#include "../../../smtpd/user_limits.h"

START_TEST(exceptions)
{
    static const struct { const char *text; bool good; int64_t want[USER_LIMITS]; } cases[] = {
        {"none", true, {0, 0, 0, 0}},
        {" NONE ", true, {0, 0, 0, 0}},
        {"messages_per_hour=5", true, {5, 2, 3, 4}},
        {"messages_per_hour=5, recipients_per_day=0", true, {5, 2, 3, 0}},
        {"Recipients_per_hour=9 messages_per_day=8", true, {1, 8, 9, 4}},
        {"", false, {1, 2, 3, 4}},
        {"messages_per_hour", false, {1, 2, 3, 4}},
        {"messages_per_hour=5 messages_per_week=5", false, {1, 2, 3, 4}},
        {"messages_per_hour=-5", false, {1, 2, 3, 4}},
        {"messages_per_hour=5x", false, {1, 2, 3, 4}},
        {"messages_per_hour=99999999999999999999", false, {1, 2, 3, 4}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t values[USER_LIMITS] = {1, 2, 3, 4};
        ck_assert_msg(user_limits_parse(slice_of(cases[i].text), values) == cases[i].good, "%s", cases[i].text);
        for (size_t k = 0; k < USER_LIMITS; k++)
            ck_assert_msg(values[k] == cases[i].want[k], "%s: limit %zu: got %lld", cases[i].text, k, (long long)values[k]);
    }
}
END_TEST

TEST_MAIN("smtpd/user_limits", exceptions)
