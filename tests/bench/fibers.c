/* fibers.c - what a switch between fibers costs, and what a parked fiber weighs */
#include <sys/resource.h>
#include <sys/socket.h>

#include "net/stream.h"
#include "run/run.h"

enum { SWITCHES = 2 * 1000 * 1000, PARKED = 10000, MESSAGES = 200 * 1000 };

static struct condition ping, pong;

static void ping_fiber(void *arg UNUSED)
{
    for (int i = 0; i < SWITCHES / 2; i++) {
        condition_signal(&pong);
        condition_wait(&ping, CLOCK_NEVER);
    }
}

static void pong_fiber(void *arg UNUSED)
{
    for (int i = 0; i < SWITCHES / 2; i++) {
        condition_wait(&pong, CLOCK_NEVER);
        condition_signal(&ping);
    }
}

static void report_switches(void)
{
    condition_init(&ping);
    condition_init(&pong);
    int64_t start = clock_monotonic();
    fiber_start("pong", pong_fiber, NULL);
    fiber_start("ping", ping_fiber, NULL);
    while (fiber_count() > 1)
        fiber_yield();
    printf("switch: %.1f ns (wait, wake, resume)\n", (double)(clock_monotonic() - start) * 1000 / SWITCHES);
}

/* resident - memory of this process in bytes, without and with the kernel's page tables for it. */
static long resident(bool with_page_tables)
{
    static const char *const keys[] = {"VmRSS:", "VmPTE:"};
    char line[200];
    long kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f)) {
        for (int i = 0; i < 1 + with_page_tables; i++) {
            if (strncmp(line, keys[i], strlen(keys[i])) == 0)
                kilobytes += strtol(line + strlen(keys[i]), NULL, 10);
        }
    }
    if (f)
        fclose(f);
    return kilobytes * 1024;
}

static struct condition release;

/* deep - a session that once used some stack: 24 KB, like a TLS handshake. */
static void __attribute__((noinline)) deep(void)
{
    volatile char frame[24 * 1024];
    for (size_t i = 0; i < sizeof(frame); i += 512)
        frame[i] = 1;
}

static void parked_fiber(void *arg UNUSED)
{
    deep();
    condition_wait(&release, CLOCK_NEVER);
}

static void report_memory(void)
{
    condition_init(&release);
    long rss = resident(false), all = resident(true);
    for (int i = 0; i < PARKED; i++)
        fiber_start("parked", parked_fiber, NULL);
    fiber_sleep(MICROSECONDS / 10);
    printf("parked: %.1f KB each just after use", (double)(resident(false) - rss) / PARKED / 1024);
    fiber_sleep(11 * MICROSECONDS);
    printf(", %.1f KB when idle (%.1f KB with page tables)\n", (double)(resident(false) - rss) / PARKED / 1024,
           (double)(resident(true) - all) / PARKED / 1024);
    condition_broadcast(&release);
    while (fiber_count() > 1)
        fiber_yield();
}

static void echo_fiber(void *arg)
{
    struct slice line;
    while (stream_read_line(arg, 1000, &line) != LINE_NONE) {
        stream_printf(arg, "250 2.1.5 Ok\r\n");
        stream_flush(arg);
    }
    stream_free(arg);
}

static void report_dialogue(void)
{
    int pair[2];
    struct slice line;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    struct stream *s = stream_new_fd(pair[0]);
    fiber_start("echo", echo_fiber, stream_new_fd(pair[1]));
    int64_t start = clock_monotonic();
    for (int i = 0; i < MESSAGES; i++) {
        stream_set_deadline(s, clock_after(300 * MICROSECONDS));
        stream_printf(s, "RCPT TO:<recipient%d@example.com>\r\n", i);
        stream_flush(s);
        stream_read_line(s, 1000, &line);
    }
    printf("command and reply over a socket pair, both sides: %.2f us\n", (double)(clock_monotonic() - start) / MESSAGES);
    stream_free(s);
}

static void bench_main(void *arg UNUSED)
{
    report_switches();
    report_dialogue();
    report_memory();
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    run_main(bench_main, NULL);
    return 0;
}
