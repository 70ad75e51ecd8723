/* test_log_target.c - which log a configuration asks for; triggers */
#include "testing.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "net/address.h"
#include "service/log_target.h"
#include "service/trigger.h"

static char directory[64];

static struct config *configure(const char *format)
{
    struct buffer text = BUFFER_INIT;
    struct config *config = config_empty();
    snprintf(directory, sizeof(directory), "/tmp/targetXXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    buffer_printf(&text, "queue_directory = %s\nd = %s\nmaillog_file_prefixes = %s\n%s", directory, directory, directory, format);
    ck_assert(config_parse(config, buffer_slice(&text), "main.cf"));
    buffer_release(&text);
    return config;
}

START_TEST(a_file)
{
    struct config *config = configure("maillog_file = $d/log\n");
    struct log_target target;
    struct stat st;
    ck_assert(log_target_open(config, &target));
    ck_assert_int_eq(target.sink, LOG_TO_FILE);
    ck_assert_int_eq(stat(target.path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0644);
    close(target.fd);
    unlink(target.path);
    rmdir(directory);
    config_free(config);
}
END_TEST

START_TEST(permissions_when_asked_for)
{
    struct config *config = configure("maillog_file = $d/log\nmaillog_file_permissions = 0600\n");
    struct log_target target;
    struct stat st;
    ck_assert(log_target_open(config, &target));
    ck_assert_int_eq(stat(target.path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    close(target.fd);
    unlink(target.path);
    rmdir(directory);
    config_free(config);
}
END_TEST

START_TEST(no_file_outside_the_prefixes)
{
    struct config *config = configure("maillog_file = /etc/passwd\n");
    struct log_target target;
    ck_assert(!log_target_open(config, &target));
    rmdir(directory);
    config_free(config);
}
END_TEST

START_TEST(triggers_reach_sockets_and_fifos)
{
    struct net_address address;
    char path[100], byte[4];
    struct config *config = configure("");
    ck_assert_int_eq(chdir(directory), 0);
    ck_assert_int_eq(mkdir("public", 0700), 0);
    ck_assert(!trigger_send("public", "stream", SLICE("W")));
    ck_assert(net_address_unix(&address, SLICE("public/stream")));
    int listener = net_listen(&address, 5);
    ck_assert(trigger_send("public", "stream", SLICE("W")));
    int fd = accept(listener, NULL, NULL);
    ck_assert_int_eq(read(fd, byte, sizeof(byte)), 1);
    ck_assert_int_eq(byte[0], 'W');
    ck_assert_int_eq(mkfifo("public/fifo", 0600), 0);
    ck_assert(!trigger_send("public", "fifo", SLICE("W"))); /* nobody reads */
    int fifo = open("public/fifo", O_RDONLY | O_NONBLOCK);
    ck_assert(trigger_send("public", "fifo", SLICE("IW")));
    ck_assert_int_eq(read(fifo, byte, sizeof(byte)), 2);
    unlink("public/fifo");
    unlink("public/stream");
    rmdir("public");
    snprintf(path, sizeof(path), "%s", directory);
    rmdir(path);
    config_free(config);
}
END_TEST

TEST_MAIN("service/log_target", a_file, permissions_when_asked_for, no_file_outside_the_prefixes, triggers_reach_sockets_and_fifos)
