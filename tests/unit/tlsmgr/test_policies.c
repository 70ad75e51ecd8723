/* test_policies.c - policies of many domains, with a name server, a web server and a store that are made up */
#include "testing.h"

#include "base/log.h"
#include "dns/dns.h"
#include "run/run.h"
#include "../../../smtp/tlsmgr/policies.h"

/* ---- the world ---- */

static size_t recalled, fetched; /* questions to the store, and to web servers */
static const char *remembered;   /* what the store has; NULL: nothing */
static char text[MTA_STS_TEXT_MAX + 1];

enum store_outcome store_get(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key UNUSED, struct arena *arena UNUSED, struct slice *value,
                             int64_t *expires UNUSED)
{
    recalled++;
    *value = slice_of(remembered);
    return remembered ? STORE_OUTCOME_FOUND : STORE_OUTCOME_MISSING;
}

bool store_put(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key UNUSED, struct slice value UNUSED, int64_t lifetime UNUSED)
{
    return true;
}

struct dns_answer dns_query(struct slice name UNUSED, enum dns_type type UNUSED, struct arena *arena)
{
    struct dns_answer answer = {.status = DNS_FOUND, .count = 1, .records = arena_alloc(arena, sizeof(struct dns_record))};

    answer.records[0].type = DNS_TXT;
    answer.records[0].text = SLICE("v=STSv1; id=1;");
    return answer;
}

void web_ask(struct web *web UNUSED, const struct web_request *request UNUSED, struct arena *arena UNUSED, struct web_answer *answer)
{
    fetched++;
    *answer = (struct web_answer){.outcome = WEB_ANSWERED, .status = 200, .content_type = SLICE("text/plain"), .body = slice_of(text)};
}

static void on_log(enum log_severity severity UNUSED, const char *line UNUSED, void *context UNUSED) {}

/* ---- tests ---- */

static const struct tlsmgr_params params = {.smtp_tls_web_port = 443};

/* new_policies - they live as long as the process. */
static struct policies *new_policies(void)
{
    static struct policies *all[16];
    static size_t count;

    ck_assert_uint_lt(count, COUNT_OF(all));
    return all[count++] = policies_new(&params, NULL, NULL);
}

static struct slice find(struct policies *p, const char *domain)
{
    struct arena *arena = arena_new(1024);
    struct mta_sts_reply reply;

    policies_find(p, slice_of(domain), arena, &reply);
    struct slice found = reply.text.len ? slice_of(text) : (struct slice){0};
    arena_free(arena);
    return found;
}

/* large - policies as long as they may be do not fill the memory: those that were not asked for lately are forgotten. */
static void large(void *arg UNUSED)
{
    struct policies *p = new_policies();
    char domain[40];

    int len = snprintf(text, sizeof(text), "version: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: 86400\n");
    memset(text + len, '\n', sizeof(text) - 1 - (size_t)len);
    for (int i = 0; i < 2000; i++) { /* 96 MB */
        snprintf(domain, sizeof(domain), "d%d.test", i);
        ck_assert(find(p, domain).len);
    }
    ck_assert_uint_eq(recalled, 2000);
    ck_assert(find(p, "d1999.test").len);
    ck_assert_uint_eq(recalled, 2000);
    ck_assert(find(p, "d0.test").len);
    ck_assert_uint_eq(recalled, 2001);
}

/* damaged - what the store has may be anything: then the policy is fetched. */
static void damaged(void *arg UNUSED)
{
    static const char *const values[] = {"", "1 1 5 9", "1 1 x 9223372036854775807\nx", "1 1 -9223372036854775807 9223372036854775807\nx",
                                         "1 1 9223372036854775807 9223372036854775807\nx", "1 1 9 5\nx", "2 1 5 9\nx"};

    snprintf(text, sizeof(text), "version: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: 86400\n");
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct policies *p = new_policies();
        remembered = values[i];
        fetched = 0;
        ck_assert(find(p, "a.test").len);
        ck_assert_msg(fetched == 1, "\"%s\" was taken", values[i]);
    }
}

static void run(void (*test)(void *arg))
{
    log_set_watcher(on_log, NULL);
    run_main(test, NULL);
}

START_TEST(test_large) { run(large); }
END_TEST
START_TEST(test_damaged) { run(damaged); }
END_TEST

TEST_MAIN("tlsmgr/policies", test_large, test_damaged)
