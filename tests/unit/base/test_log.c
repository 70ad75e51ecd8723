/* test_log.c - log lines, dates, status codes */
#include "testing.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/verdict.h"

static int file;
static char content[200000];

static void open_file_sink(void)
{
    file = memfd_create("log", MFD_CLOEXEC);
    log_open("postfix/smtpd", LOG_TO_FILE, file);
}

static const char *read_file(void)
{
    ssize_t n = pread(file, content, sizeof(content) - 1, 0);
    content[n > 0 ? n : 0] = '\0';
    return content;
}

START_TEST(file_lines_have_the_shape)
{
    char want[300], date[16], host[256], tag[64];
    int pid, end = 0;
    open_file_sink();
    log_info("%s: from=<%s>", "ABC", "a@example.com");
    log_warning("odd");
    log_error("worse");
    ck_assert_int_eq(sscanf(read_file(), "%15c %255s %63[^[][%d]: %n", date, host, tag, &pid, &end), 4);
    ck_assert_str_eq(tag, "postfix/smtpd");
    ck_assert_int_eq(pid, getpid());
    ck_assert_ptr_null(strchr(host, '.'));
    snprintf(want, sizeof(want), "%.*sABC: from=<a@example.com>\n%.*swarning: odd\n%.*serror: worse\n", end, content, end, content,
             end, content);
    ck_assert_str_eq(content, want);
}
END_TEST

START_TEST(buffered_lines_wait)
{
    open_file_sink();
    log_set_buffered(true);
    log_info("one");
    log_info("two");
    ck_assert_str_eq(read_file(), "");
    log_flush();
    ck_assert_ptr_nonnull(strstr(read_file(), ": one\n"));
    for (int i = 0; i < 1500; i++)
        log_info("%060d", i);
    ck_assert_uint_gt(strlen(read_file()), 60000); /* more than the buffer holds goes out at once */
    log_set_buffered(false);
    ck_assert_ptr_nonnull(strstr(read_file(), "01499\n"));
}
END_TEST

START_TEST(lines_are_sanitised)
{
    static char big[5000], umlauts[3000];
    open_file_sink();
    log_info("a\r\nb\x1b[31m\x7f");
    ck_assert_ptr_nonnull(strstr(read_file(), ": a??b?[31m?\n"));
    log_info("gr\xc3\xbc\xc3\x9f");
    ck_assert_ptr_nonnull(strstr(read_file(), ": gr\xc3\xbc\xc3\x9f\n"));
    log_info("bad \xc3( \xff");
    ck_assert_ptr_nonnull(strstr(read_file(), ": bad ?( ?\n"));
    memset(big, 'x', sizeof(big) - 1);
    ck_assert_int_eq(ftruncate(file, 0), 0);
    lseek(file, 0, SEEK_SET);
    log_info("%s", big);
    ck_assert_uint_le(strlen(read_file()), 2000 + 100);
    for (size_t i = 0; i + 2 < sizeof(umlauts); i += 2)
        memcpy(umlauts + i, "\xc3\xbc", 2);
    for (int shift = 0; shift < 2; shift++) {
        ck_assert_int_eq(ftruncate(file, 0), 0);
        lseek(file, 0, SEEK_SET);
        log_info("%s%s", shift ? "x" : "", umlauts);
        ck_assert(slice_is_utf8(slice_of(read_file()))); /* not cut within a character */
        ck_assert_ptr_null(strchr(content, '?'));
    }
}
END_TEST

START_TEST(syslog_gets_a_datagram_a_line)
{
    int pair[2];
    char text[3000];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    log_open("postfix/qmgr", LOG_TO_SYSLOG, pair[0]);
    log_set_facility("mail");
    log_set_buffered(true);
    log_info("one");
    log_warning("two");
    log_flush();
    ssize_t n = recv(pair[1], text, sizeof(text) - 1, 0);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    ck_assert_ptr_eq(strstr(text, "<22>"), text);
    ck_assert_ptr_nonnull(strstr(text, " postfix/qmgr["));
    ck_assert_str_eq(strstr(text, "]: "), "]: one");
    n = recv(pair[1], text, sizeof(text) - 1, 0);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    ck_assert_ptr_eq(strstr(text, "<20>"), text);
    log_set_facility("local3");
    close(pair[1]);
    log_info("into the void"); /* a dead syslog is no reason to stop */
    log_flush();
    close(pair[0]);
}
END_TEST

START_TEST(lines_wait_for_the_log_daemon)
{
    int first[2], second[2];
    char text[3000];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, first), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, second), 0);
    log_open("postfix/qmgr", LOG_TO_SYSLOG, first[0]);
    log_set_buffered(true);
    close(first[1]);
    log_info("one");
    log_flush();
    log_info("two");
    log_flush();
    log_open("postfix/qmgr", LOG_TO_SYSLOG, second[0]);
    log_info("three");
    log_flush();
    static const char *const expected[] = {"]: one", "]: two", "]: three"};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        ssize_t n = recv(second[1], text, sizeof(text) - 1, 0);
        ck_assert_int_gt(n, 0);
        text[n] = '\0';
        ck_assert_str_eq(strstr(text, "]: "), expected[i]);
    }
    ck_assert_int_lt(recv(second[1], text, sizeof(text), 0), 0);
    log_open("postfix/qmgr", LOG_TO_SYSLOG, first[0]);
    for (int i = 0; i < 3000; i++) {
        log_info("line %d", i); /* more than there is room for: memory stays as it is */
        log_flush();
    }
    log_set_buffered(false);
    open_file_sink(); /* their shape is for a log daemon: not in a file */
    log_info("the last");
    ck_assert_ptr_eq(strstr(read_file(), "<22>"), NULL);
    ck_assert_ptr_nonnull(strstr(content, "]: the last\n"));
    close(first[0]);
    close(second[0]);
    close(second[1]);
}
END_TEST

/* status_of - run fn in a child whose standard error is the file. */
static int status_of(void (*fn)(void))
{
    int status;
    file = memfd_create("stderr", MFD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(file, STDERR_FILENO);
        fn();
        _exit(99);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static void die_fatally(void)
{
    log_open("postfix/postqueue", LOG_TO_STDERR, -1);
    log_set_buffered(true);
    log_set_fatal_exit(69);
    log_info("first");
    log_fatal("cannot %s", "go on");
}

static void die_of_panic(void)
{
    log_panic("a mistake");
}

static void die_of_hunger(void)
{
    volatile size_t size = (size_t)1 << 60;
    free(memory_alloc(size));
}

START_TEST(fatal_and_panic_end_the_process)
{
    int status = status_of(die_fatally);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 69);
    ck_assert_str_eq(read_file(), "postqueue: first\npostqueue: fatal: cannot go on\n");
    status = status_of(die_of_panic);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    ck_assert_ptr_nonnull(strstr(read_file(), "panic: a mistake\n"));
#ifndef __SANITIZE_ADDRESS__
    status = status_of(die_of_hunger);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    ck_assert_ptr_nonnull(strstr(read_file(), "fatal: out of memory\n"));
#else
    (void)die_of_hunger;
#endif
}
END_TEST

static void watch(enum log_severity severity, const char *text, void *context)
{
    snprintf(context, 100, "%d %s", (int)severity, text);
}

START_TEST(watchers_see_the_text)
{
    char seen[100] = "";
    open_file_sink();
    log_set_watcher(watch, seen);
    log_warning("seen");
    log_set_watcher(NULL, NULL);
    ck_assert_str_eq(seen, "1 warning: seen");
    ck_assert_str_eq(read_file(), "");
    log_debug("hidden");
    ck_assert_str_eq(read_file(), "");
    errno = ENOENT;
    log_info("errno survives");
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(lines_of_other_processes_are_passed_on)
{
    static const struct { unsigned severity; const char *text, *want; } rows[] = {
        {LOG_SEVERITY_INFO, "warning: is what it begins with", "0 warning: is what it begins with"},
        {LOG_SEVERITY_WARNING, "warning: odd", "1 warning: odd"},
        {LOG_SEVERITY_WARNING, "without label", "1 warning: without label"},
        {LOG_SEVERITY_ERROR, "error: failed", "2 error: failed"},
        {LOG_SEVERITY_FATAL, "fatal: the end of it", "2 error: the end of it"},
        {77, "what?", "2 error: what?"},
    };
    char seen[100] = "";
    log_set_watcher(watch, seen);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        log_pass_on(rows[i].severity, slice_of(rows[i].text));
        ck_assert_str_eq(seen, rows[i].want);
    }
    log_set_watcher(NULL, NULL);
}
END_TEST

START_TEST(dates_have_the_shape)
{
    struct buffer b = BUFFER_INIT;
    setenv("TZ", "UTC0", 1);
    tzset();
    clock_rfc5322(&b, INT64_C(1795457931) * MICROSECONDS + 999999);
    ck_assert_str_eq(buffer_string(&b), "Mon, 23 Nov 2026 18:18:51 +0000 (UTC)");
    buffer_clear(&b);
    clock_rfc5322(&b, INT64_C(1793729931) * MICROSECONDS);
    ck_assert_str_eq(buffer_string(&b), "Tue,  3 Nov 2026 18:18:51 +0000 (UTC)");
    buffer_clear(&b);
    clock_syslog(&b, INT64_C(1793729931) * MICROSECONDS);
    ck_assert_str_eq(buffer_string(&b), "Nov  3 18:18:51");
    buffer_clear(&b);
    clock_asctime(&b, INT64_C(1795457931) * MICROSECONDS);
    ck_assert_str_eq(buffer_string(&b), "Mon Nov 23 18:18:51 2026");
    setenv("TZ", "NST3:30", 1);
    tzset();
    buffer_clear(&b);
    clock_rfc5322(&b, INT64_C(1795457931) * MICROSECONDS);
    ck_assert_str_eq(buffer_string(&b), "Mon, 23 Nov 2026 14:48:51 -0330 (NST)");
    buffer_release(&b);
    ck_assert(clock_after(INT64_MAX) == CLOCK_NEVER);
    ck_assert(clock_after(-1) <= clock_monotonic());
}
END_TEST

START_TEST(status_codes_parse)
{
    static const struct {
        const char *text, *code, *rest; /* code NULL: none there */
    } rows[] = {
        {"5.1.1", "5.1.1", ""},
        {"4.7.23  later", "4.7.23", "later"},
        {"2.0.0 Ok: queued", "2.0.0", "Ok: queued"},
        {"5.999.999 x", "5.999.999", "x"},
        {"5.1000.1", NULL, ""},
        {"3.1.1", NULL, ""},
        {"5.1", NULL, ""},
        {"5.1.", NULL, ""},
        {"5..1", NULL, ""},
        {"5.1.1x", NULL, ""},
        {"5.1.1.1", NULL, ""},
        {"", NULL, ""},
        {"55.1.1", NULL, ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct status_code code;
        struct slice rest;
        char text[STATUS_CODE_TEXT];
        bool ok = status_code_parse(slice_of(rows[i].text), &code, &rest);
        ck_assert_msg(ok == (rows[i].code != NULL), "\"%s\": got %d", rows[i].text, ok);
        if (ok) {
            ck_assert_str_eq(status_code_format(code, text), rows[i].code);
            ASSERT_SLICE(rest, rows[i].rest);
        }
    }
}
END_TEST

START_TEST(lines_in_the_name_of_another)
{
    open_file_sink();
    log_speak_for("error");
    log_info("one");
    log_speak_for(NULL);
    log_info("two");
    const char *text = read_file(), *error = strstr(text, " postfix/error["), *own = strstr(text, " postfix/smtpd[");
    ck_assert(error && strstr(error, "]: one\n") && own > error && strstr(own, "]: two\n"));
}
END_TEST

TEST_MAIN("base/log", lines_of_other_processes_are_passed_on, lines_in_the_name_of_another, file_lines_have_the_shape, buffered_lines_wait, lines_are_sanitised, syslog_gets_a_datagram_a_line, lines_wait_for_the_log_daemon,
          fatal_and_panic_end_the_process, watchers_see_the_text, dates_have_the_shape, status_codes_parse)
