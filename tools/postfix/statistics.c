/* statistics.c - `postfix statistics`: the counters of all workers, added up per service */
#include "control.h"
#include "service/instance.h"
#include "service/statistics.h"

static bool is_first_of(const struct statistics_page *page, size_t index)
{
    for (size_t i = 1; i < index; i++) {
        if (strncmp(page->slot[i].service, page->slot[index].service, STATISTICS_NAME) == 0)
            return false;
    }
    return page->slot[index].service[0] != '\0';
}

static void print_service(const struct statistics_page *page, size_t first)
{
    for (size_t counter = 0; counter < STATISTIC_COUNT; counter++) {
        int64_t sum = 0;
        for (size_t i = first; i < STATISTICS_SLOTS; i++) {
            if (strncmp(page->slot[i].service, page->slot[first].service, STATISTICS_NAME) == 0)
                sum += __atomic_load_n(&page->slot[i].counters[counter], __ATOMIC_RELAXED);
        }
        if (sum)
            printf("%.*s %s %lld\n", STATISTICS_NAME, page->slot[first].service, statistics_name((enum statistic)counter), (long long)sum);
    }
}

int print_statistics(struct control *control UNUSED)
{
    pid_t pid;
    if (!instance_running(&pid))
        say_fatal("the Postfix mail system is not running");
    const struct statistics_page *page = statistics_open(pid);
    if (!page)
        say_fatal("cannot read the statistics of process %d: %s", (int)pid, strerror(errno));
    for (size_t i = 1; i < STATISTICS_SLOTS; i++) {
        if (is_first_of(page, i))
            print_service(page, i);
    }
    return 0;
}
