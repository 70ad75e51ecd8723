/* test_route.c - rewriting, resolving, recipient lists */
#include "testing.h"

#include "route/route.h"
#include "run/run.h"

static struct config *config;
static struct route *route;
static struct arena *arena;

static void open_route(const char *text)
{
    static const char base[] = "myhostname = mail.lab.test\nmydomain = lab.test\nmyorigin = lab.test\n"
                               "mydestination = lab.test, $myhostname, localhost\ncompatibility_level = 3.6\nmynetworks = 127.0.0.0/8\n"
                               "inet_interfaces = 127.0.0.1\nalias_maps =\nlocal_recipient_maps = inline:{alice=x, bob=x}\n"
                               "recipient_delimiter = +\n";
    config = config_empty();
    ck_assert(config_parse(config, slice_of(base), "base"));
    ck_assert(config_parse(config, slice_of(text), "test"));
    route = route_new(config);
    arena = arena_new(0);
}

static void close_route(void)
{
    route_free(route);
    arena_free(arena);
    config_free(config);
}

static void check_rewrite(const char *context, const char *address, const char *want)
{
    struct slice got = route_rewrite(route, slice_of(context), slice_of(address), arena);
    ck_assert_msg(slice_equal(got, slice_of(want)), "%s %s: got " SLICE_FORMAT " want %s", context, address, SLICE_ARGS(got), want);
}

static void rewriting_fiber(void *arg)
{
    open_route("remote_header_rewrite_domain = domain.invalid\n");
    check_rewrite("local", "alice", "alice@lab.test");
    check_rewrite("local", "", "");
    check_rewrite("local", "@", "");
    check_rewrite("local", "alice@lab.test", "alice@lab.test");
    check_rewrite("local", "alice@lab.test.", "alice@lab.test");
    check_rewrite("local", "host!user", "user@host");
    check_rewrite("local", "a!b!c", "b!c@a");
    check_rewrite("local", "user%dom.test", "user@dom.test");
    check_rewrite("local", "user%remote.test@lab.test", "user%remote.test@lab.test");
    check_rewrite("local", "@a.test,@b.test:u@c.test", "u@c.test");
    check_rewrite("local", "\"a b\"", "\"a b\"@lab.test");
    check_rewrite("local", "a@b@c.test", "\"a@b\"@c.test");
    check_rewrite("local", "u@[127.0.0.1]", "u@[127.0.0.1]");
    check_rewrite("local", "u@host", "u@host");
    check_rewrite("local", "@c.test", "@c.test");
    check_rewrite("remote", "bare", "bare@domain.invalid");
    check_rewrite("remote", "u@host", "u@host");
    close_route();
    open_route("append_dot_mydomain = yes\nappend_at_myorigin = no\nswap_bangpath = no\nallow_percent_hack = no\n");
    check_rewrite("local", "u@host", "u@host.lab.test");
    check_rewrite("local", "u@host.", "u@host");
    check_rewrite("local", "alice", "alice");
    check_rewrite("local", "a!b", "a!b");
    check_rewrite("remote", "u@host", "u@host");
    close_route();
}

static void check_resolve(const char *sender, const char *recipient, const char *want)
{
    struct route_result r;
    route_resolve(route, slice_of(sender), slice_of(recipient), false, arena, &r);
    struct slice got = arena_format(arena, "%d%s%s " SLICE_FORMAT " " SLICE_FORMAT " " SLICE_FORMAT, (int)r.class,
                                    r.flags & ROUTE_ROUTED ? "R" : "", r.flags & ROUTE_TRY_AGAIN ? "T" : "", SLICE_ARGS(r.transport),
                                    SLICE_ARGS(r.next_hop), SLICE_ARGS(r.recipient));
    if (r.flags & ROUTE_BAD_SYNTAX)
        got = arena_format(arena, "bad " SLICE_FORMAT ":" SLICE_FORMAT, SLICE_ARGS(r.transport), SLICE_ARGS(r.next_hop));
    ck_assert_msg(slice_equal(got, slice_of(want)), "%s -> %s: got " SLICE_FORMAT " want %s", sender, recipient, SLICE_ARGS(got), want);
}

static void resolving_fiber(void *arg)
{
    open_route("virtual_alias_domains = virtual.test\nvirtual_alias_maps = inline:{one@virtual.test=alice}\n"
               "virtual_mailbox_domains = box.test\nrelay_domains = relayed.test\nrelayhost = [smart.test]\n"
               "parent_domain_matches_subdomains = relay_domains\n"
               "relocated_maps = inline:{ {moved@lab.test = new@elsewhere.test} }\n"
               "sender_dependent_relayhost_maps = inline:{ {boss@lab.test = [special.test]:587}, {dull@lab.test = DUNNO} }\n"
               "sender_dependent_default_transport_maps = inline:{ {<> = nulls:} }\n"
               "transport_maps = inline:{ {one@routed.test = smtp:[10.9.0.12]:2525}, {routed.test = smtp:[10.9.0.11]},\n"
               "    {.routed.test = smtp:mx1.remote.test}, {error.test = error:5.7.1 no}, {err2.test = error:}, {here.test = local:},\n"
               "    {hop.test = :other.test}, {same@lab.test = :}, {one@virtual.test = smtp:x} }\n");
    check_resolve("a@b", "alice@lab.test", "0 local mail.lab.test alice@lab.test");
    check_resolve("a@b", "alice@[127.0.0.1]", "0 local mail.lab.test alice@[127.0.0.1]");
    check_resolve("a@b", "alice@[10.255.1.1]", "4 smtp [smart.test] alice@[10.255.1.1]");
    check_resolve("a@b", "one@virtual.test", "1 error 5.1.1 User unknown in virtual alias table one@virtual.test");
    check_resolve("a@b", "x@Box.test", "2 virtual Box.test x@Box.test");
    check_resolve("a@b", "x@sub.relayed.test", "3 relay [smart.test] x@sub.relayed.test");
    check_resolve("a@b", "x@far.test", "4 smtp [smart.test] x@far.test");
    check_resolve("boss@lab.test", "x@far.test", "4 smtp [special.test]:587 x@far.test");
    check_resolve("dull@lab.test", "x@far.test", "4 smtp [smart.test] x@far.test");
    check_resolve("", "x@far.test", "4 nulls [smart.test] x@far.test");
    check_resolve("a@b", "one@routed.test", "4 smtp [10.9.0.12]:2525 one@routed.test");
    check_resolve("a@b", "two@routed.test", "4 smtp [10.9.0.11] two@routed.test");
    check_resolve("a@b", "x@sub.routed.test", "4 smtp mx1.remote.test x@sub.routed.test");
    check_resolve("a@b", "x@error.test", "4 error 5.7.1 no x@error.test");
    check_resolve("a@b", "x@err2.test", "4 error Address is undeliverable x@err2.test");
    check_resolve("a@b", "x@here.test", "4 local here.test x@here.test");
    check_resolve("a@b", "x@hop.test", "4 smtp other.test x@hop.test");
    check_resolve("a@b", "same@lab.test", "0 local mail.lab.test same@lab.test");
    check_resolve("a@b", "moved@lab.test", "0 error 5.1.6 User has moved to new@elsewhere.test moved@lab.test");
    check_resolve("a@b", "user%far.test@lab.test", "4 smtp [smart.test] user@far.test");
    check_resolve("a@b", "far.test!bob@lab.test", "4 smtp [smart.test] bob@far.test");
    check_resolve("a@b", "\"bob@far.test\"@lab.test", "4 smtp [smart.test] bob@far.test");
    check_resolve("a@b", "bob%lab.test%far.test@lab.test", "4R smtp [smart.test] bob%lab.test@far.test");
    check_resolve("a@b", "@lab.test", "0 local mail.lab.test MAILER-DAEMON@lab.test");
    check_resolve("a@b", "\"\"@lab.test", "0 local mail.lab.test MAILER-DAEMON@lab.test");
    check_resolve("a@b", "\"\"@far.test", "4 smtp [smart.test] \"\"@far.test");
    check_resolve("a@b", "alice", "0 local mail.lab.test alice@mail.lab.test");
    check_resolve("a@b", "x@a..b", "bad error:5.1.3 bad address syntax");
    check_resolve("a@b", "x@10.9.0.1", "bad error:5.1.3 bad address syntax");
    check_resolve("a@b", "-x@far.test", "bad error:5.1.3 bad address syntax");
    close_route();
    open_route("relay_domains = fail:x\n");
    check_resolve("a@b", "x@far.test", "4T retry 4.3.0 address resolver failure x@far.test");
    close_route();
}

static void check_known(const char *recipient, int want, const char *table)
{
    struct route_result r;
    const char *got_table;
    route_resolve(route, (struct slice){0}, slice_of(recipient), false, arena, &r);
    int got = route_recipient_known(route, &r, slice_of(recipient), &got_table);
    ck_assert_msg(got == want, "%s: got %d want %d", recipient, got, want);
    if (want == 0)
        ck_assert_str_eq(got_table, table);
}

static void known_fiber(void *arg)
{
    open_route("virtual_alias_domains = virtual.test\nvirtual_alias_maps = inline:{ {one@virtual.test=alice}, {x@lab.test=alice} }\n"
               "virtual_mailbox_domains = box.test\nvirtual_mailbox_maps = inline:{ {m@box.test=m/} }\n"
               "relay_domains = relayed.test, open.test\nrelay_recipient_maps = inline:{ {known@relayed.test = x}, {@open.test = x} }\n");
    check_known("alice@lab.test", 1, NULL);
    check_known("alice+ext@lab.test", 1, NULL);
    check_known("nobody@lab.test", 0, "local recipient table");
    check_known("Postmaster@lab.test", 1, NULL);
    check_known("x@lab.test", 1, NULL);
    check_known("one@virtual.test", 1, NULL);
    check_known("two@virtual.test", 0, "virtual alias table");
    check_known("m@box.test", 1, NULL);
    check_known("n@box.test", 0, "virtual mailbox table");
    check_known("known@relayed.test", 1, NULL);
    check_known("unknown@relayed.test", 0, "relay recipient table");
    check_known("any@open.test", 1, NULL);
    check_known("x@far.test", 1, NULL);
    close_route();
    open_route("virtual_alias_domains = virtual.test\nvirtual_alias_maps = inline:{ {empty@virtual.test=} }, fail:x\n");
    check_known("empty@virtual.test", -2, NULL);
    check_known("other@virtual.test", -1, NULL);
    close_route();
    open_route("local_recipient_maps =\n");
    check_known("nobody@lab.test", 1, NULL);
    close_route();
}

static void mapping_fiber(void *arg)
{
    open_route("");
    struct table_list *maps = table_list_new("canonical_maps", "inline:{ {old@lab.test=new}, {@a.test=@b.test}, {u=v@c.test}, {bad@x.test=fail} }",
                                             TABLE_FOLD, config);
    struct slice result;
    ck_assert_int_eq(route_map_address(route, maps, SLICE("old+ext@lab.test"), true, arena, &result), 1);
    ASSERT_SLICE(result, "new+ext@lab.test");
    ck_assert_int_eq(route_map_address(route, maps, SLICE("old+ext@lab.test"), false, arena, &result), 1);
    ASSERT_SLICE(result, "new@lab.test");
    ck_assert_int_eq(route_map_address(route, maps, SLICE("q@a.test"), true, arena, &result), 1);
    ASSERT_SLICE(result, "q@b.test");
    ck_assert_int_eq(route_map_address(route, maps, SLICE("u@lab.test"), true, arena, &result), 1);
    ASSERT_SLICE(result, "v@c.test");
    ck_assert_int_eq(route_map_address(route, maps, SLICE("u@far.test"), true, arena, &result), 0);
    ASSERT_SLICE(result, "u@far.test");
    table_list_free(maps);
    close_route();
}

START_TEST(rewriting) { run_main(rewriting_fiber, NULL); } END_TEST
START_TEST(resolving) { run_main(resolving_fiber, NULL); } END_TEST
START_TEST(recipients_known) { run_main(known_fiber, NULL); } END_TEST
START_TEST(mapping) { run_main(mapping_fiber, NULL); } END_TEST

TEST_MAIN("route/route", rewriting, resolving, recipients_known, mapping)
