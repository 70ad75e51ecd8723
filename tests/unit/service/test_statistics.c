/* test_statistics.c - slots of the statistics page: taken, counted in, given back */
#include "testing.h"

#include "service/statistics.h"

static int64_t sum_of(const struct statistics_page *page, const char *service, enum statistic counter)
{
    int64_t sum = 0;
    for (size_t i = 1; i < STATISTICS_SLOTS; i++) {
        if (strcmp(page->slot[i].service, service) == 0)
            sum += page->slot[i].counters[counter];
    }
    return sum;
}

START_TEST(sums_outlive_their_worker)
{
    int fd = statistics_create();
    ck_assert_int_ge(fd, 0);
    const struct statistics_page *page = statistics_open(getpid());
    ck_assert_ptr_nonnull(page);
    for (int life = 0; life < 3; life++) {
        unsigned slot = statistics_take_slot("smtpd");
        ck_assert_uint_ne(slot, STATISTICS_NO_SLOT);
        statistics_slot_pid(slot, 1000 + life);
        statistics_use(fd, slot);
        statistics_add(STATISTIC_clients, 5);
        statistics_add(STATISTIC_clients_now, 2);
        ck_assert_int_eq(sum_of(page, "smtpd", STATISTIC_clients_now), 2);
        statistics_give_slot(slot);
    }
    ck_assert_int_eq(sum_of(page, "smtpd", STATISTIC_clients), 15);
    ck_assert_int_eq(sum_of(page, "smtpd", STATISTIC_clients_now), 0);
}
END_TEST

START_TEST(runs_out_of_slots_politely)
{
    ck_assert_int_ge(statistics_create(), 0);
    for (int i = 1; i < STATISTICS_SLOTS; i++)
        ck_assert_uint_ne(statistics_take_slot("local"), STATISTICS_NO_SLOT);
    ck_assert_uint_eq(statistics_take_slot("local"), STATISTICS_NO_SLOT);
    statistics_give_slot(STATISTICS_NO_SLOT);
    statistics_give_slot(7); /* becomes the slot of the sums */
    statistics_give_slot(8);
    ck_assert_uint_ne(statistics_take_slot("local"), STATISTICS_NO_SLOT);
}
END_TEST

START_TEST(counting_without_a_page_does_nothing)
{
    statistics_use(0, 3);
    statistics_add(STATISTIC_clients, 1);
    ck_assert_str_eq(statistics_name(STATISTIC_clients), "clients");
}
END_TEST

START_TEST(others_of_the_same_service)
{
    static const char *const services[] = {"smtp", "smtp", "other", "smtp"};
    unsigned slots[4];
    int fd = statistics_create();

    for (int i = 0; i < 4; i++) {
        slots[i] = statistics_take_slot(services[i]);
        statistics_slot_pid(slots[i], 1000 + i);
        statistics_use(fd, slots[i]);
        statistics_add(STATISTIC_gate_testing, i + 1);
    }
    statistics_use(fd, slots[0]);
    ck_assert_int_eq(statistics_elsewhere(STATISTIC_gate_testing), 2 + 4);
}
END_TEST

TEST_MAIN("service/statistics", sums_outlive_their_worker, runs_out_of_slots_politely, counting_without_a_page_does_nothing,
          others_of_the_same_service)
