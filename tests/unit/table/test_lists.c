/* test_lists.c - match lists, table lists, key orders (compat.md a.4, c.5) */
#include "testing.h"

#include "base/log.h"
#include "table/address_lookup.h"
#include "table/match.h"

static char warnings[4096];

static void keep(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    snprintf(warnings + strlen(warnings), sizeof(warnings) - strlen(warnings), "%s\n", text);
}

static struct config *new_config(void)
{
    warnings[0] = '\0';
    log_set_watcher(keep, NULL);
    return config_empty();
}

static struct net_address address_of(const char *text)
{
    struct net_address address;

    ck_assert(net_address_parse(&address, slice_of(text), 0));
    return address;
}

START_TEST(addresses)
{
    static const struct { const char *list, *name, *address; enum match_result want; } rows[] = {
        {"127.0.0.0/8, 10.9.0.1", "localhost", "127.0.0.1", MATCH_YES},
        {"127.0.0.0/8, 10.9.0.1", "x", "10.9.0.1", MATCH_YES},
        {"127.0.0.0/8, 10.9.0.1", "x", "10.9.0.2", MATCH_NO},
        {"!10.9.0.1, 10.9.0.0/16", "x", "10.9.0.1", MATCH_NO},
        {"!10.9.0.1, 10.9.0.0/16", "x", "10.9.0.2", MATCH_YES},
        {"[fd00:9::]/64", "x", "fd00:9::5", MATCH_YES},
        {"[::1]/128", "x", "fd00:9::5", MATCH_NO},
        {"example.com", "mail.example.com", "192.0.2.1", MATCH_YES}, /* mynetworks is in parent_domain_matches_subdomains */
        {".example.com", "unknown", "192.0.2.1", MATCH_NO},
        {"10.9.0.1/16", "x", "10.9.0.1", MATCH_TRY_AGAIN},
        {"inline:{192.0.2.1=x}", "x", "192.0.2.1", MATCH_YES},
        {"", "x", "192.0.2.1", MATCH_NO},
    };
    struct config *config = new_config();

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct match_list *list = match_list_new("mynetworks", rows[i].list, MATCH_ADDRESS_LIST, config);
        struct net_address address = address_of(rows[i].address);
        enum match_result got = match_host(list, slice_of(rows[i].name), &address);
        ck_assert_msg(got == rows[i].want, "%s: %s[%s]: got %d want %d", rows[i].list, rows[i].name, rows[i].address, (int)got, (int)rows[i].want);
        match_list_free(list);
    }
    ck_assert_msg(strstr(warnings, "non-null host address bits in \"10.9.0.1/16\", perhaps you should use \"10.9.0.0/16\" instead") != NULL, "%s", warnings);
    config_free(config);
}
END_TEST

START_TEST(domains)
{
    static const struct { const char *parameter, *list, *domain; enum match_result want; } rows[] = {
        {"relay_domains", "example.com", "sub.example.com", MATCH_YES},
        {"relay_domains", "example.com", "badexample.com", MATCH_NO},
        {"other", "example.com", "sub.example.com", MATCH_NO},
        {"other", ".example.com", "sub.example.com", MATCH_YES},
        {"other", ".example.com", "example.com", MATCH_NO},
        {"other", "EXAMPLE.com", "example.COM", MATCH_YES},
        {"relay_domains", "inline:{example.com=x}", "a.b.example.com", MATCH_YES},
        {"other", "inline:{.example.com=x}", "a.b.example.com", MATCH_YES},
        {"other", "inline:{example.com=x}", "b.example.com", MATCH_NO},
        {"other", "fail:x", "b.example.com", MATCH_TRY_AGAIN},
    };
    struct config *config = new_config();

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct match_list *list = match_list_new(rows[i].parameter, rows[i].list, MATCH_DOMAIN_LIST, config);
        enum match_result got = match_domain(list, slice_of(rows[i].domain));
        ck_assert_msg(got == rows[i].want, "%s %s: %s: got %d want %d", rows[i].parameter, rows[i].list, rows[i].domain, (int)got, (int)rows[i].want);
        match_list_free(list);
    }
    config_free(config);
}
END_TEST

static bool is_local(void *context UNUSED, struct slice domain)
{
    return slice_equal_case(domain, SLICE("local.test"));
}

START_TEST(address_key_order)
{
    static const struct { const char *table, *address, *want, *extension; } rows[] = {
        {"inline:{user+ext@a.test=full, user@a.test=plain}", "user+ext@a.test", "full", ""},
        {"inline:{user@a.test=plain, @a.test=domain}", "User+Ext@A.test", "plain", "+Ext"},
        {"inline:{@a.test=domain}", "user+ext@a.test", "domain", ""},
        {"inline:{user=bare}", "user@a.test", NULL, ""},
        {"inline:{user=bare}", "user@local.test", "bare", ""},
        {"inline:{user=bare}", "user+x@local.test", "bare", "+x"},
        {"inline:{{a b@a.test=internal}}", "\"a b\"@a.test", "internal", ""},
        {"pcre:{{/^user@/ pattern}}", "user+ext@a.test", NULL, ""}, /* patterns see the full key only */
        {"pcre:{{/ext@/ pattern}}", "user+ext@a.test", "pattern", ""},
    };
    struct address_keys keys = {.delimiters = SLICE("+"), .owner_request_special = true, .is_local = is_local};
    struct config *config = new_config();

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct table_list *list = table_list_new("x_maps", rows[i].table, 0, config);
        struct buffer value = BUFFER_INIT;
        struct slice extension;
        enum table_result result = address_lookup(list, &keys, slice_of(rows[i].address), ADDRESS_KEY_ALL, &value, &extension, NULL);
        ck_assert_msg((result == TABLE_FOUND) == (rows[i].want != NULL), "%s in %s: got %d", rows[i].address, rows[i].table, (int)result);
        if (rows[i].want != NULL) {
            ck_assert_str_eq(buffer_string(&value), rows[i].want);
            ASSERT_SLICE(extension, rows[i].extension);
        }
        buffer_release(&value);
        table_list_free(list);
    }
    config_free(config);
}
END_TEST

START_TEST(extensions)
{
    static const struct { const char *local, *delimiters, *user, *extension; } rows[] = {
        {"user+ext", "+", "user", "+ext"}, {"user-ext", "+-", "user", "-ext"}, {"user", "+", "user", ""}, {"+ext", "+", "+ext", ""},
        {"owner-list", "-", "owner-list", ""}, {"list-request", "-", "list-request", ""}, {"postmaster", "-m", "postmaster", ""},
        {"user+a+b", "+", "user", "+a+b"}, {"user+ext", "", "user+ext", ""}};
    struct slice user, extension;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        address_split_extension(slice_of(rows[i].local), slice_of(rows[i].delimiters), true, &user, &extension);
        ASSERT_SLICE(user, rows[i].user);
        ASSERT_SLICE(extension, rows[i].extension);
    }
}
END_TEST

START_TEST(empty_results_and_failures)
{
    struct config *config = new_config();
    struct buffer value = BUFFER_INIT;
    struct table_list *list = table_list_new("x_maps", "inline:{a=1}, fail:broken", 0, config);

    ck_assert_int_eq(table_list_lookup(list, SLICE("a"), true, &value), TABLE_FOUND);
    ck_assert_int_eq(table_list_lookup(list, SLICE("b"), true, &value), TABLE_TRY_AGAIN);
    table_list_free(list);
    list = table_list_new("x_maps", "pcre:{{/a/}}", 0, config);
    ck_assert_int_eq(table_list_lookup(list, SLICE("a"), true, &value), TABLE_TRY_AGAIN);
    ck_assert_msg(strstr(warnings, "x_maps lookup of a returns an empty string result") != NULL, "%s", warnings);
    table_list_free(list);
    list = table_list_new("x_maps", "/no/type", 0, config);
    ck_assert_int_eq(table_list_lookup(list, SLICE("a"), true, &value), TABLE_TRY_AGAIN);
    table_list_free(list);
    buffer_release(&value);
    config_free(config);
}
END_TEST

START_TEST(networks_and_parents)
{
    struct address_keys keys = {.delimiters = SLICE("+")};
    struct config *config = new_config();
    struct buffer value = BUFFER_INIT;
    struct table_list *list = table_list_new("x_maps", "inline:{10.9=net, example.com=parent, .dotted.com=dotted, fd00=six}", 0, config);

    ck_assert_int_eq(network_lookup(list, SLICE("10.9.8.7"), &value), TABLE_FOUND);
    ck_assert_str_eq(buffer_string(&value), "net");
    ck_assert_int_eq(network_lookup(list, SLICE("fd00:9::1"), &value), TABLE_FOUND);
    ck_assert_int_eq(network_lookup(list, SLICE("192.0.2.1"), &value), TABLE_NOT_FOUND);
    ck_assert_int_eq(domain_lookup(list, SLICE("a.b.example.com"), true, true, &value), TABLE_FOUND);
    ck_assert_int_eq(domain_lookup(list, SLICE("a.b.example.com"), true, false, &value), TABLE_NOT_FOUND);
    ck_assert_int_eq(domain_lookup(list, SLICE("a.b.dotted.com"), true, false, &value), TABLE_FOUND);
    table_list_free(list);
    /* a pattern sees a domain only where no address was there before, and never "user@" */
    list = table_list_new("x_maps", "pcre:{{/^a\\.test$/ domain}, {/^user@$/ user}}", 0, config);
    ck_assert_int_eq(domain_lookup(list, SLICE("a.test"), true, true, &value), TABLE_FOUND);
    ck_assert_int_eq(domain_lookup(list, SLICE("a.test"), false, true, &value), TABLE_NOT_FOUND);
    ck_assert_int_eq(address_lookup(list, &keys, SLICE("user@a.test"), ADDRESS_KEY_USER_AT, &value, NULL, NULL), TABLE_NOT_FOUND);
    table_list_free(list);
    buffer_release(&value);
    config_free(config);
}
END_TEST

TEST_MAIN("table/lists", addresses, domains, address_key_order, extensions, empty_results_and_failures, networks_and_parents)
