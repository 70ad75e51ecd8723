/* test_services.c - limits, sockets, and what a reload keeps */
#include "testing.h"

#include <sys/stat.h>

#include "../../../master/master.h"

static char directory[64];
static struct arena *memory;

static void setup(const char *main_cf)
{
    snprintf(directory, sizeof(directory), "/tmp/masterXXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    /* As root sockets are made by mail_owner, where that user exists. */
    umask(0);
    ck_assert_int_eq(chmod(".", 0755) | mkdir("private", 0777) | mkdir("public", 0777), 0);
    run_start();
    memory = arena_new(0);
    list_init(&master.services);
    master.config = config_empty();
    ck_assert(config_parse(master.config, slice_of(main_cf), "main.cf"));
}

static bool build(const char *master_cf, const struct list *old, struct list *fresh, struct buffer *why)
{
    struct master_cf lines;
    ck_assert(master_cf_parse(slice_of(master_cf), "master.cf", master.config, memory, NULL, NULL, &lines));
    return services_build(master.config, &lines, old, fresh, why);
}

static struct service_entry *find(const struct list *services, const char *name)
{
    LIST_EACH(services, link) {
        struct service_entry *service = LIST_ENTRY(link, struct service_entry, link);
        if (strcmp(service->line->name, name) == 0)
            return service;
    }
    ck_abort_msg("no service %s", name);
}

static void free_services(struct list *services)
{
    LIST_EACH(services, link) {
        list_remove(link);
        service_free(LIST_ENTRY(link, struct service_entry, link));
    }
}

START_TEST(limits_follow_maxproc)
{
    struct list services;
    struct buffer why = BUFFER_INIT;
    setup("worker_processes = 4\ndefault_process_limit = 30\ndefault_client_limit = 1001\ncompatibility_level = 3.6\n");
    ck_assert(build("a unix - - n - - smtpd\nb unix - - n - 0 cleanup\nc unix - - n - 2 smtp\nd unix - n n - - local\n"
                    "e unix - n n - 7 local\nf unix - n n - 0 pipe flags=R\ng unix - - n - 1 qmgr\nh unix - - n - - something\n",
                    NULL, &services, &why));
    static const struct {
        const char *name;
        int64_t processes, clients, each, batch;
    } cases[] = {{"a", 4, 1001, 251, 4}, {"b", 4, 0, 0, 4}, {"c", 2, 2, 1, 2},  {"d", 30, 30, 1, 1},
                 {"e", 7, 7, 1, 1},      {"f", 0, 0, 1, 1}, {"g", 1, 1001, 1001, 1}, {"h", 30, 30, 1, 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct service_entry *s = find(&services, cases[i].name);
        ck_assert_msg(s->process_limit == cases[i].processes && s->client_limit == cases[i].clients && s->clients_per_worker == cases[i].each
                          && s->batch == cases[i].batch,
                      "service %s: got %lld %lld %lld %lld", cases[i].name, (long long)s->process_limit, (long long)s->client_limit,
                      (long long)s->clients_per_worker, (long long)s->batch);
    }
    free_services(&services);
}
END_TEST

START_TEST(the_isolation_dial)
{
    struct list services;
    struct buffer why = BUFFER_INIT;
    setup("worker_processes = 4\nprocess_client_limit = 1\ncompatibility_level = 3.6\n");
    ck_assert(build("a unix - - n - 50 smtpd\n", NULL, &services, &why));
    const struct service_entry *s = find(&services, "a");
    ck_assert_int_eq(s->process_limit, 50);
    ck_assert_int_eq(s->clients_per_worker, 1);
    ck_assert_int_eq(s->batch, 1);
    free_services(&services);
}
END_TEST

static ino_t inode_of(const struct service_entry *service)
{
    struct stat st;
    ck_assert_uint_eq(service->socket_count, 1);
    ck_assert_int_eq(fstat(service->sockets[0].fd, &st), 0);
    return st.st_ino;
}

START_TEST(a_reload_keeps_sockets_and_workers)
{
    struct list first, second;
    struct buffer why = BUFFER_INIT;
    setup("compatibility_level = 3.6\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n");
    ck_assert(build("127.0.0.1:23525 inet n - n - - smtpd\nlocal unix - n n - - local\ngone unix - n n - - pipe\nold unix n - n - - pipe\n",
                    NULL, &first, &why));
    services_adopt(&master.services, &first, memory);
    struct service_entry *inet = find(&master.services, "127.0.0.1:23525");
    ck_assert(!inet->external);
    ino_t inet_socket = inode_of(inet), local_socket = inode_of(find(&master.services, "local"));
    struct worker_entry worker = {.service = find(&master.services, "gone")};
    list_append(&worker.service->workers, &worker.link);
    /* The same address under another name and in another place; one service less; one more. */
    ck_assert(build("local unix - n n - 5 local\n127.0.0.1:23525 inet n - n - - smtpd -o x=y\nnew unix-dgram n - n - 1 postlogd\n",
                    &master.services, &second, &why));
    services_adopt(&master.services, &second, memory);
    ck_assert_uint_eq(inode_of(find(&master.services, "127.0.0.1:23525")), inet_socket);
    ck_assert_uint_eq(inode_of(find(&master.services, "local")), local_socket);
    ck_assert_int_eq(find(&master.services, "local")->process_limit, 5);
    ck_assert(find(&master.services, "gone")->removed); /* its worker still finishes */
    ck_assert_ptr_eq(worker.service, find(&master.services, "gone"));
    LIST_EACH(&master.services, link)
        ck_assert_str_ne(LIST_ENTRY(link, struct service_entry, link)->line->name, "old");
}
END_TEST

START_TEST(a_taken_port_is_said)
{
    struct list first, second;
    struct buffer why = BUFFER_INIT;
    setup("compatibility_level = 3.6\n");
    ck_assert(build("127.0.0.1:23526 inet n - n - - smtpd\n", NULL, &first, &why));
    ck_assert(!build("a unix - n n - - local\n127.0.0.1:23526 inet n - n - - smtpd\n", NULL, &second, &why));
    ASSERT_SLICE(buffer_slice(&why), "bind 127.0.0.1 port 23526: Address already in use");
    buffer_clear(&why);
    ck_assert(!build("nosuchport inet n - n - - smtpd\n", NULL, &second, &why));
    ASSERT_SLICE(buffer_slice(&why), "unknown service: nosuchport");
    buffer_release(&why);
    free_services(&first);
}
END_TEST

TEST_MAIN("master/services", limits_follow_maxproc, the_isolation_dial, a_reload_keeps_sockets_and_workers, a_taken_port_is_said)
