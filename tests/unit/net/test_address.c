/* test_address.c - socket addresses, networks, connecting */
#include "testing.h"

#include "net/address.h"
#include "run/run.h"

static const struct {
    const char *text;
    const char *want; /* NULL: refused */
} address_rows[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"[192.0.2.1]", "192.0.2.1"},
    {"2001:db8::1", "2001:db8::1"},
    {"[2001:DB8:0:0::1]", "2001:db8::1"},
    {"[IPv6:2001:db8::1]", "2001:db8::1"},
    {"ipv6:::1", "::1"},
    {"::ffff:192.0.2.1", "192.0.2.1"},
    {"IPv6:192.0.2.1", NULL},
    {"192.0.2", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2.1 ", NULL},
    {"[192.0.2.1", NULL},
    {"[", NULL},
    {"", NULL},
    {"localhost", NULL},
    {"1234:1234:1234:1234:1234:1234:1234:1234:1234:1234:1234", NULL},
};

START_TEST(parses_addresses)
{
    for (size_t i = 0; i < COUNT_OF(address_rows); i++) {
        struct net_address address;
        struct buffer text = BUFFER_INIT;
        bool ok = net_address_parse(&address, slice_of(address_rows[i].text), 25);
        ck_assert_msg(ok == (address_rows[i].want != NULL), "\"%s\": got %d", address_rows[i].text, ok);
        if (ok) {
            net_address_text(&address, &text);
            ck_assert_str_eq(buffer_string(&text), address_rows[i].want);
            ck_assert_uint_eq(net_address_port(&address), 25);
            net_address_set_port(&address, 587);
            ck_assert_uint_eq(net_address_port(&address), 587);
        }
        buffer_release(&text);
    }
}
END_TEST

static const struct {
    const char *pattern, *address;
    bool want;
} networks[] = {
    {"10.0.0.0/8", "10.1.2.3", true},
    {"10.0.0.0/8", "11.1.2.3", false},
    {"192.0.2.128/25", "192.0.2.129", true},
    {"192.0.2.128/25", "192.0.2.1", false},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "::ffff:192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"0.0.0.0/0", "192.0.2.2", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"[2001:db8::]/32", "2001:db8:1::1", true},
    {"[2001:db8::/32]", "2001:db8:1::1", true},
    {"2001:db8::/32", "2001:db9::1", false},
    {"[::1]/128", "::1", true},
    {"::ffff:10.0.0.0/104", "10.2.3.4", true},
};

START_TEST(matches_networks)
{
    for (size_t i = 0; i < COUNT_OF(networks); i++) {
        struct net_network network;
        struct net_address address;
        ck_assert_msg(net_network_parse(&network, slice_of(networks[i].pattern), NULL), "\"%s\"", networks[i].pattern);
        ck_assert(net_address_parse(&address, slice_of(networks[i].address), 0));
        ck_assert_msg(net_network_contains(&network, &address) == networks[i].want, "%s in %s: want %d", networks[i].address,
                      networks[i].pattern, networks[i].want);
    }
}
END_TEST

START_TEST(refuses_bad_networks)
{
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0/8", "/8", "10.0.0.0/", "10.0.0.0/x", "[::1]/129", "", "10.0.0.0/8/8"};
    struct net_network network;
    struct buffer error = BUFFER_INIT;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(!net_network_parse(&network, slice_of(bad[i]), NULL), "\"%s\"", bad[i]);
    ck_assert(!net_network_parse(&network, SLICE("10.1.2.3/8"), &error));
    ck_assert_str_eq(buffer_string(&error),
                     "non-null host address bits in \"10.1.2.3/8\", perhaps you should use \"10.0.0.0/8\" instead");
    buffer_release(&error);
}
END_TEST

START_TEST(knows_loopback_and_equality)
{
    struct net_address a, b, c;
    ck_assert(net_address_parse(&a, SLICE("127.3.2.1"), 1));
    ck_assert(net_address_parse(&b, SLICE("::ffff:127.3.2.1"), 2));
    ck_assert(net_address_parse(&c, SLICE("::1"), 2));
    ck_assert(net_address_is_loopback(&a));
    ck_assert(net_address_is_loopback(&b));
    ck_assert(net_address_is_loopback(&c));
    ck_assert(net_address_equal_host(&a, &b));
    ck_assert(!net_address_equal_host(&a, &c));
    ck_assert(net_address_unix(&a, SLICE("/run/socket")));
    ck_assert(!net_address_is_loopback(&a));
    ck_assert_uint_eq(net_address_port(&a), 0);
    char path[200];
    memset(path, 'x', sizeof(path));
    ck_assert(!net_address_unix(&a, slice_make(path, sizeof(path))));
}
END_TEST

START_TEST(knows_services)
{
    ck_assert_uint_eq(net_service_port(SLICE("smtp")), 25);
    ck_assert_uint_eq(net_service_port(SLICE("submission")), 587);
    ck_assert_uint_eq(net_service_port(SLICE("2525")), 2525);
    ck_assert_uint_eq(net_service_port(SLICE("65536")), 0);
    ck_assert_uint_eq(net_service_port(SLICE("no-such-service")), 0);
}
END_TEST

static void connect_main(void *arg UNUSED)
{
    struct net_address address, local, peer;
    ck_assert(net_address_parse(&address, SLICE("127.0.0.1"), 0));
    int listener = net_listen(&address, 10);
    ck_assert_int_ge(listener, 0);
    ck_assert(net_local(listener, &address));
    int fd = net_connect(&address, NULL, clock_after(MICROSECONDS));
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fiber_wait_fd(listener, WAIT_READ, clock_after(MICROSECONDS)), WAIT_READY);
    int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    ck_assert(net_peer(accepted, &peer));
    ck_assert(net_local(fd, &local));
    ck_assert_uint_eq(net_address_port(&peer), net_address_port(&local));
    int fds[] = {listener, fd, accepted};
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fiber_forget_fd(fds[i]);
        close(fds[i]);
    }
    ck_assert_int_eq(net_connect(&address, NULL, clock_after(MICROSECONDS)), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
}

START_TEST(connects)
{
    run_main(connect_main, NULL);
}
END_TEST

static void unix_main(void *arg)
{
    struct net_address address;
    ck_assert(net_address_unix(&address, slice_of(arg)));
    for (int round = 0; round < 2; round++) {
        int listener = net_listen(&address, 10); /* the second finds the stale file of the first */
        ck_assert_int_ge(listener, 0);
        int fd = net_connect(&address, NULL, clock_after(MICROSECONDS));
        ck_assert_int_ge(fd, 0);
        close(fd);
        close(listener);
    }
    int listener = net_listen(&address, 0), connected[4], n = 0;
    while (n < 4 && (connected[n] = net_connect(&address, NULL, clock_after(MICROSECONDS / 50))) >= 0)
        n++;
    ck_assert_int_lt(n, 4); /* the backlog fills up */
    ck_assert_int_eq(errno, ETIMEDOUT);
    while (n > 0)
        close(connected[--n]);
    close(listener);
    unlink(arg);
    ck_assert_int_eq(net_connect(&address, NULL, clock_after(MICROSECONDS)), -1);
    ck_assert_int_eq(errno, ENOENT);
}

START_TEST(connects_locally)
{
    char path[] = "/tmp/postern-test-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(path));
    char socket_path[64];
    snprintf(socket_path, sizeof(socket_path), "%s/socket", path);
    run_main(unix_main, socket_path);
    rmdir(path);
}
END_TEST

START_TEST(finds_own_addresses)
{
    struct net_address *addresses;
    struct net_network *own;
    size_t count = net_own_addresses(&addresses, &own);
    bool loopback = false;
    for (size_t i = 0; i < count; i++) {
        ck_assert(net_network_contains(&own[i], &addresses[i]));
        loopback |= net_address_is_loopback(&addresses[i]);
    }
    ck_assert(loopback);
    free(addresses);
    free(own);
}
END_TEST

TEST_MAIN("net/address", parses_addresses, matches_networks, refuses_bad_networks, knows_loopback_and_equality, knows_services,
          connects, connects_locally, finds_own_addresses)
