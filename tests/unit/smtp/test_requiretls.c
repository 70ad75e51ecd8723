/* test_requiretls.c - what is demanded of a connection for mail with REQUIRETLS or TLS-Required: no */
#include "testing.h"

#include "../../../smtp/requiretls.h"
#include "script.h"

static struct config *config;
static struct client_params params;

static void setup(const char *text, bool lmtp)
{
    char all[512];

    snprintf(all, sizeof(all), "requiretls_enable = yes\n%s", text);
    log_set_watcher(script_quiet, NULL);
    config = config_empty();
    script_params(config, all, lmtp, &params);
    params.requiretls = requiretls_open(config, &params);
}

static void teardown(void)
{
    requiretls_close(params.requiretls);
    params.requiretls = NULL;
    script_params_release(config, &params);
}

START_TEST(policies)
{
    static const struct { const char *destination; bool good; enum requiretls_action action; } rows[] = {
        {"here.test", true, REQUIRETLS_OPPORTUNISTIC}, {"mx.here.test", true, REQUIRETLS_OPPORTUNISTIC}, {"notthere.test", true, REQUIRETLS_ENFORCE},
        {"localhost", true, REQUIRETLS_OPPORTUNISTIC}, {"127.0.0.1", true, REQUIRETLS_OPPORTUNISTIC}, {"::1", true, REQUIRETLS_OPPORTUNISTIC},
    };
    static const struct { const char *destination; bool good; enum requiretls_action action; } own[] = {
        {"a.test", true, REQUIRETLS_DISABLE}, {"b.test", true, REQUIRETLS_STARTTLS}, {"sub.c.test", true, REQUIRETLS_ENFORCE},
        {"d.test", false, REQUIRETLS_ENFORCE}, {"e.test", true, REQUIRETLS_OPPORTUNISTIC},
    };
    enum requiretls_action action;

    setup("mydomain = here.test\n", false);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        ck_assert_msg(requiretls_find(params.requiretls, slice_of(rows[i].destination), &action) == rows[i].good, "%s", rows[i].destination);
        ck_assert_msg(action == rows[i].action, "%s: got %d want %d", rows[i].destination, action, rows[i].action);
    }
    teardown();
    setup("smtp_requiretls_policy = inline:{{a.test=disable}, {b.test=Opportunistic+STARTTLS}, {.c.test=enforce}, {d.test=what}}, opportunistic, enforce\n", false);
    for (size_t i = 0; i < COUNT_OF(own); i++) {
        ck_assert_msg(requiretls_find(params.requiretls, slice_of(own[i].destination), &action) == own[i].good, "%s", own[i].destination);
        ck_assert_msg(!own[i].good || action == own[i].action, "%s: got %d want %d", own[i].destination, action, own[i].action);
    }
    teardown();
    setup("smtp_requiretls_policy =\n", false);
    ck_assert(requiretls_find(params.requiretls, SLICE("a.test"), &action) && action == REQUIRETLS_ENFORCE);
    teardown();
    setup("", true);
    ck_assert(requiretls_find(params.requiretls, SLICE("a.test"), &action) && action == REQUIRETLS_OPPORTUNISTIC);
    teardown();
    setup("requiretls_enable = no\n", false);
    ck_assert(!params.requiretls && requiretls_find(NULL, SLICE("a.test"), &action) && action == REQUIRETLS_DISABLE);
    teardown();
}
END_TEST

/* plan_for - what becomes of a plan; "" or the status of the failure. */
static const char *plan_for(int64_t options, const char *sender, enum tls_level *level, bool secure_mx, const char *next_hop)
{
    struct arena *arena = arena_new(0);
    struct destination to = {.host = slice_of(next_hop), .mx_lookup = true, .text = slice_of(next_hop)};
    struct host host = {.name = SLICE("mx.test"), .destination = &to, .secure_mx = secure_mx};
    struct delivery_request request = {.envelope = {.sender = slice_of(sender), .send_options = options}};
    struct delivery delivery = {.request = &request, .arena = arena};
    struct tls_plan *plan = arena_alloc(arena, sizeof(*plan));
    struct failure failure = {0};
    static char status[16];

    plan->policy.level = *level;
    plan->connect.next_hop = next_hop;
    plan->connect.policy = &plan->policy;
    plan = requiretls_plan(&params, &host, &delivery, plan, &failure);
    snprintf(status, sizeof(status), "%s", plan ? "" : failure.status);
    if (plan) {
        ck_assert_ptr_eq(plan->connect.policy, &plan->policy);
        *level = plan->policy.level;
    } else {
        ck_assert(failure.temporary && failure.unless_last == (failure.status[0] == '5'));
    }
    arena_free(arena);
    return status;
}

START_TEST(plans)
{
    static const struct { int64_t options; const char *sender, *next_hop; enum tls_level level; bool secure_mx; const char *status; enum tls_level want; } rows[] = {
        {0, "a@x", "far.test", TLS_MAY, false, "", TLS_MAY},
        {SEND_REQUIRE_TLS, "a@x", "far.test", TLS_SECURE, false, "", TLS_SECURE},
        {SEND_REQUIRE_TLS, "a@x", "far.test", TLS_DANE, false, "", TLS_DANE},
        {SEND_REQUIRE_TLS, "a@x", "far.test", TLS_VERIFY, true, "", TLS_VERIFY},
        {SEND_REQUIRE_TLS, "a@x", "far.test", TLS_VERIFY, false, "5.7.10", 0},
        {SEND_REQUIRE_TLS, "a@x", "far.test", TLS_MAY, false, "5.7.10", 0},
        {SEND_REQUIRE_TLS, "a@x", "far.test", TLS_MAY, true, "5.7.10", 0}, /* no TLS here */
        {SEND_REQUIRE_TLS, "", "far.test", TLS_MAY, false, "", TLS_MAY},
        {SEND_REQUIRE_TLS, "a@x", "opp.test", TLS_MAY, false, "", TLS_MAY},
        {SEND_REQUIRE_TLS, "a@x", "bad.test", TLS_MAY, false, "4.7.5", 0},
        {SEND_TLS_NOT_REQUIRED, "a@x", "far.test", TLS_SECURE, true, "", TLS_NONE}, /* no TLS here */
        {SEND_TLS_NOT_REQUIRED, "a@x", "far.test", TLS_MAY, true, "", TLS_MAY},
    };

    setup("smtp_requiretls_policy = inline:{{opp.test=opportunistic}, {bad.test=what}}\n", false);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum tls_level level = rows[i].level;
        const char *status = plan_for(rows[i].options, rows[i].sender, &level, rows[i].secure_mx, rows[i].next_hop);
        ck_assert_msg(strcmp(status, rows[i].status) == 0, "row %zu: got \"%s\" want \"%s\"", i, status, rows[i].status);
        ck_assert_msg(status[0] || level == rows[i].want, "row %zu: got level %d want %d", i, level, rows[i].want);
    }
    teardown();
    setup("tls_required_enable = no\nrequiretls_enable = no\n", false);
    enum tls_level level = TLS_SECURE;
    ck_assert_str_eq(plan_for(SEND_TLS_NOT_REQUIRED, "a@x", &level, true, "far.test"), "");
    ck_assert_int_eq(level, TLS_SECURE);
    level = TLS_MAY;
    ck_assert_str_eq(plan_for(SEND_REQUIRE_TLS, "a@x", &level, false, "far.test"), "");
    ck_assert_int_eq(level, TLS_MAY);
    teardown();
}
END_TEST

START_TEST(failures)
{
    struct arena *arena = arena_new(0);
    struct delivery delivery = {.arena = arena};
    struct tls_plan plan = {.require_tls = REQUIRETLS_ENFORCE};
    struct failure failure = {.temporary = true, .status = "4.7.5", .reason = SLICE("Cannot start TLS: handshake failure")};

    requiretls_explain(&plan, &delivery, &failure);
    ck_assert(failure.temporary && failure.unless_last);
    ck_assert_str_eq(failure.status, "5.7.10");
    ASSERT_SLICE(failure.reason, "Sender requested REQUIRETLS, but: Cannot start TLS: handshake failure");
    failure = (struct failure){.temporary = true, .status = "4.4.1", .reason = SLICE("connect to mx: Connection refused")};
    requiretls_explain(&plan, &delivery, &failure);
    ck_assert(!failure.unless_last);
    plan.require_tls = REQUIRETLS_OPPORTUNISTIC;
    failure.status = "4.7.5";
    requiretls_explain(&plan, &delivery, &failure);
    ck_assert(!failure.unless_last);
    arena_free(arena);
}
END_TEST

TEST_MAIN("smtp/requiretls", policies, plans, failures)
