/* test_tallies.c - reports of many domains, with a name server and a store that are made up */
#include "testing.h"

#include "base/log.h"
#include "dns/dns.h"
#include "run/run.h"
#include "../../../smtp/tlsmgr/tallies.h"
#include "../../../smtp/tlsmgr/dispatch.h"

static size_t kept;
static char logged[1000];

enum store_outcome store_get(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key UNUSED, struct arena *arena UNUSED, struct slice *value,
                             int64_t *expires UNUSED)
{
    *value = (struct slice){0};
    return STORE_OUTCOME_MISSING;
}

bool store_put(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key, struct slice value UNUSED, int64_t lifetime UNUSED)
{
    kept += !slice_starts(key, SLICE("list "));
    return true;
}

bool store_delete(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key UNUSED) { return true; }

int dispatch_targets(struct slice domain UNUSED, struct arena *arena UNUSED, struct tls_report_target *targets UNUSED) { return 1; }
bool dispatch_report(const struct dispatcher *d UNUSED, struct report *report UNUSED) { return true; }

static void on_log(enum log_severity severity UNUSED, const char *line, void *context UNUSED)
{
    snprintf(logged, sizeof(logged), "%s", line);
}

static const struct tlsmgr_params params = {.smtp_tls_reports_period = 86400 * MICROSECONDS};

/* large - domains with as much to report as can be do not fill the memory. */
static void large(void *arg UNUSED)
{
    static struct tallies *t;
    static char lines[48 * 1024];
    char domain[40];
    struct tls_session one = {.policy_type = SLICE("sts"), .policy = slice_make(lines, sizeof(lines))};

    memset(lines, 'x', sizeof(lines));
    t = tallies_new(&params, NULL, NULL, NULL);
    for (int i = 0; i < 4000; i++) {
        snprintf(domain, sizeof(domain), "d%d.test", i);
        one.domain = slice_of(domain);
        tallies_count(t, &one);
    }
    ck_assert_ptr_nonnull(strstr(logged, "TLS reports: too many"));
    tallies_save(t);
    ck_assert_msg(kept > 2000 && kept < 3000, "%zu reports", kept);
}

START_TEST(test_large)
{
    log_set_watcher(on_log, NULL);
    run_main(large, NULL);
}
END_TEST

TEST_MAIN("tlsmgr/tallies", test_large)
