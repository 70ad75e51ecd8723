/* test_server.c - connections to table servers */
#include "testing.h"

#include "table/server.h"

static struct server server;
static unsigned done;

static void one_lookup(void *arg UNUSED)
{
    const char *why = "";
    ck_assert_msg(server_begin(&server, MICROSECONDS, &why), "%s", why);
    fiber_sleep(1000);
    server_end(&server, false);
    done++;
}

static void use_together(void *arg)
{
    int *listening = arg;
    unsigned connections = 0;
    for (int i = 0; i < 5; i++)
        fiber_start("lookup", one_lookup, NULL);
    while (done < 5)
        fiber_sleep(1000);
    for (int fd; (fd = accept(*listening, NULL, NULL)) >= 0; connections++)
        close(fd);
    ck_assert_uint_eq(connections, 1);
    server_close(&server);
}

START_TEST(test_one_connection_for_all)
{
    struct net_address address;
    char endpoint[80];
    ck_assert(net_address_parse(&address, SLICE("127.0.0.1"), 0));
    int listening = net_listen(&address, 10);
    ck_assert_int_ge(listening, 0);
    ck_assert(net_local(listening, &address));
    snprintf(endpoint, sizeof(endpoint), "inet:127.0.0.1:%u", net_address_port(&address));
    ck_assert(server_parse(&server, slice_of(endpoint), false));
    run_main(use_together, &listening);
    close(listening);
}
END_TEST

static void fail_together(void *arg UNUSED)
{
    const char *why = "";
    for (int i = 0; i < 3; i++)
        ck_assert(!server_begin(&server, MICROSECONDS, &why)); /* not busy for ever */
}

START_TEST(test_nobody_there)
{
    ck_assert(server_parse(&server, SLICE("unix:/nowhere/at/all"), false));
    run_main(fail_together, NULL);
}
END_TEST

START_TEST(test_endpoints)
{
    static const struct { const char *text; bool plain, good; } cases[] = {
        {"inet:127.0.0.1:25", false, true}, {"inet:localhost:smtp", false, true}, {"127.0.0.1:25", true, true}, {"127.0.0.1:25", false, false},
        {"unix:/x", false, true},           {"unix:", false, false},              {"inet:127.0.0.1", false, false}, {"inet::25", false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        ck_assert_msg(server_parse(&server, slice_of(cases[i].text), cases[i].plain) == cases[i].good, "%s", cases[i].text);
}
END_TEST

TEST_MAIN("table/server", test_one_connection_for_all, test_nobody_there, test_endpoints)
