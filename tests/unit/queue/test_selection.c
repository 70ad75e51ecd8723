/* test_selection.c - conditions on messages, and counts in bounded memory */
#include "testing.h"

#include "queue/census.h"

static struct slice user_of(void *context, const struct index_entry *entry UNUSED)
{
    return slice_of(context);
}

static bool fits(const struct queue_selection *want, const struct queue_item *item, const char *user)
{
    char *why = NULL;
    struct selection *selection = selection_new(want, &why);
    ck_assert_ptr_nonnull(selection);
    bool result = selection_fits(selection, item, user_of, (void *)user);
    selection_free(selection);
    return result;
}

START_TEST(sasl_user)
{
    struct queue_item item = {.queue = "deferred"};
    struct queue_selection want = {.sasl_user = SLICE("alice")};
    ck_assert(fits(&want, &item, "alice") && fits(&want, &item, "ALICE") && !fits(&want, &item, "bob") && !fits(&want, &item, ""));
    item.has_sasl_user = true;
    item.sasl_user = SLICE("alice");
    ck_assert(fits(&want, &item, "bob"));
    want.queues = SLICE("hold active");
    ck_assert(!fits(&want, &item, "alice"));
}
END_TEST

START_TEST(one_recipient_fits_all)
{
    struct index_recipient recipients[] = {{.address = SLICE("a@x.test"), .reason = SLICE("busy")}, {.address = SLICE("b@y.test"), .reason = SLICE("down")}};
    struct queue_item item = {.queue = "hold", .entry = {.recipients = recipients, .recipient_count = 2}};
    struct queue_selection want = {.domain = SLICE("X.test"), .reason = SLICE("^bu")};
    ck_assert(fits(&want, &item, ""));
    want.domain = SLICE("y.test");
    ck_assert(!fits(&want, &item, ""));
}
END_TEST

START_TEST(hostile_expression)
{
    char reason[2001];
    memset(reason, 'a', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    struct index_recipient recipient = {.address = SLICE("a@x.test"), .reason = slice_of(reason)};
    struct queue_item item = {.queue = "hold", .entry = {.recipients = &recipient, .recipient_count = 1}};
    struct queue_selection want = {.reason = SLICE("(a*)*(a*)*(a*)*b\\1$")};
    ck_assert(!fits(&want, &item, ""));
    char *why = NULL;
    want.reason = SLICE("(");
    ck_assert_ptr_null(selection_new(&want, &why));
    ck_assert_ptr_nonnull(why);
    free(why);
}
END_TEST

START_TEST(many_groups)
{
    struct queue_query query = {.group_by = QUEUE_GROUP_SENDER, .age_columns = 2, .first_age = 5};
    struct census *census = census_new(&query, 1000);
    struct queue_group group, other = {0};
    size_t groups = 0;
    for (int i = 0; i < CENSUS_GROUPS_MAX + 100; i++) {
        char sender[32];
        snprintf(sender, sizeof(sender), "u%d@x.test", i);
        struct queue_item item = {.queue = "deferred", .entry = {.sender = slice_of(sender), .message_size = 10}};
        census_add(census, &item);
    }
    for (size_t position = 0; census_next(census, &position, &group); groups++) {
        if (slice_equal(group.name, SLICE("(other)")))
            other = group;
    }
    ck_assert_int_eq(groups, CENSUS_GROUPS_MAX + 1);
    ck_assert_int_eq(other.messages, 100);
    ck_assert_int_eq(other.bytes, 1000);
    ck_assert_int_eq(other.ages[0].value, 100);
    census_free(census);
}
END_TEST

TEST_MAIN("queue/selection", sasl_user, one_recipient_fits_all, hostile_expression, many_groups)
