/* queue.c - figures of the queue: appending with group commit, and the index at a given depth

   queue [ENTRIES [MESSAGES [DIRECTORY]]]   (200000, 20000, a fresh directory in the current one) */
#include <sys/resource.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "queue/index.h"
#include "queue/queue_id.h"
#include "run/run.h"

static char directory[256];

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static double wall(void)
{
    return (double)clock_monotonic() / 1e6;
}

/* ---- appending ---------------------------------------------------------------------------------------------------- */

static struct segment_writer *writer;
static size_t left, running;
static struct condition finished;
static char content[4096];

static void append_one(struct queue_id_maker *maker)
{
    char id[QUEUE_ID_MAX];
    struct recipient to = {.address = SLICE("recipient@example.test")};
    struct envelope envelope = {.queue_id = queue_id_make(maker, id), .arrival_time = clock_wall(), .sender = SLICE("sender@example.test"),
                                .recipients = &to, .recipients_count = 1, .message_id = SLICE("<some.message@example.test>"),
                                .client_name = SLICE("client.example.test"), .client_address = SLICE("192.0.2.1"),
                                .helo_name = SLICE("client.example.test"), .protocol_name = SLICE("ESMTP")};
    struct queue_place place;
    struct content_sink *sink = content_sink_new(writer);
    content_sink_write(sink, slice_make(content, sizeof(content)));
    if (segment_append(writer, &envelope, sink, &place) < 0)
        log_fatal("append: %s", strerror(errno));
    content_sink_free(sink);
}

static struct queue_id_maker maker;

static void appender(void *arg UNUSED)
{
    while (left > 0) {
        left--;
        append_one(&maker);
    }
    if (--running == 0)
        condition_broadcast(&finished);
}

static void bench_append(size_t fibers, size_t messages)
{
    struct segment_writer_options options = {.queue_directory = directory, .segment_size = 64 << 20, .large_content = 256 << 10};
    writer = segment_writer_open(&options);
    if (!writer)
        log_fatal("open writer: %s", strerror(errno));
    memset(content, 'x', sizeof(content));
    left = messages;
    running = fibers;
    condition_init(&finished);
    double begin = wall(), begin_cpu = cpu();
    for (size_t i = 0; i < fibers; i++)
        fiber_start("appender", appender, NULL);
    condition_wait(&finished, CLOCK_NEVER);
    double took = wall() - begin, took_cpu = cpu() - begin_cpu;
    uint64_t syncs = segment_writer_counters(writer)->syncs;
    printf("append 4 KB, %3zu fibers: %7.0f messages/s, %5.1f us CPU/message, %llu syncs (%.1f messages each, %.0f us)\n", fibers,
           (double)messages / took, took_cpu / (double)messages * 1e6, (unsigned long long)syncs, (double)messages / (double)syncs,
           took / (double)syncs * 1e6);
    segment_writer_close(writer);
}

/* ---- index -------------------------------------------------------------------------------------------------------- */

static void report(const char *what, size_t n, double begin, double begin_cpu)
{
    double took = wall() - begin, took_cpu = cpu() - begin_cpu;
    printf("index %-34s %9.0f/s  (%.3f s, %.2f us CPU each)\n", what, (double)n / took, took, took_cpu / (double)n * 1e6);
}

static void fill_entry(struct index_entry *entry, struct index_recipient *to, size_t i, char texts[4][64])
{
    snprintf(texts[0], 64, "%05zX%08zX", i * 977 % 1000000, (size_t)0xA0000000 + i / 50);
    snprintf(texts[1], 64, "sender%zu@example.test", i % 5000);
    snprintf(texts[2], 64, "smtp:domain%zu.example.test", i % 2000);
    snprintf(texts[3], 64, "user%zu@domain%zu.example.test", i, i % 2000);
    *to = (struct index_recipient){.address = slice_of(texts[3]), .status = SLICE("4.4.1"),
                                   .reason = SLICE("connect to mx.example.test[192.0.2.1]:25: Connection timed out")};
    *entry = (struct index_entry){
        .queue_id = slice_of(texts[0]), .queue = INDEX_DEFERRED,
        .place = {.segment = 1000 + i / 14000, .offset = 64 + i % 14000 * 4600, .length = 4600, .content_offset = 500, .content_length = 4096},
        .arrival_time = 1700000000000000 + (int64_t)i, .next_attempt = 1700000300000000 + (int64_t)(i * 7919 % 300000000),
        .attempts = 1, .message_size = 4096, .sender = slice_of(texts[1]), .destination = slice_of(texts[2]), .recipients = to,
        .recipient_count = 1};
}

static void put_all(struct index *index, size_t n, int64_t later)
{
    struct index_entry entry;
    struct index_recipient to;
    char texts[4][64];
    int64_t next = clock_after(MICROSECONDS);
    for (size_t i = 0; i < n; i++) {
        if (i % 64 == 0)
            index_write_begin(index);
        fill_entry(&entry, &to, i, texts);
        entry.next_attempt += later;
        index_put(index, &entry);
        if (i % 64 == 63 || i == n - 1)
            index_write_end(index);
        if (i % 64 == 63 && clock_monotonic() > next) {
            index_maintain(index);
            next = clock_after(MICROSECONDS);
        }
    }
}

static size_t scan_some(struct index *index, enum index_order order, struct slice key, size_t most)
{
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    size_t n = 0;
    struct index_scan *scan = index_scan_start(index, order, INDEX_DEFERRED, key);
    while (n < most && index_scan_next(scan, arena, &entry) == 1) {
        n++;
        arena_reset(arena);
    }
    index_scan_free(scan);
    arena_free(arena);
    return n;
}

static bool choose_all(void *context UNUSED, struct slice queue_id UNUSED, const struct queue_place *place UNUSED)
{
    return true;
}

static size_t change_all(struct index *index, enum index_queue from, enum index_queue to)
{
    struct index_change change = {.queue = to, .next_attempt = to == INDEX_DEFERRED ? 1700000400000000 : 0};
    struct index_scan *scan = index_scan_start(index, INDEX_BY_ID, from, SLICE(""));
    int64_t next = clock_after(MICROSECONDS);
    uint64_t changed = 0;
    while (index_change_some(scan, &change, choose_all, NULL, &changed) > 0) {
        if (clock_monotonic() > next) {
            index_maintain(index);
            next = clock_after(MICROSECONDS);
        }
    }
    index_scan_free(scan);
    return changed;
}

static void get_all(struct index *index, size_t n)
{
    struct arena *arena = arena_new(4096);
    struct index_entry entry;
    struct index_recipient to;
    char texts[4][64];
    for (size_t i = 0; i < n; i++) {
        fill_entry(&entry, &to, i, texts);
        if (index_get(index, slice_of(texts[0]), arena, &entry) != 1)
            log_fatal("%s is not there", texts[0]);
        arena_reset(arena);
    }
    arena_free(arena);
}

static struct index *open_index(void)
{
    bool fresh;
    char *why;
    struct index *index = index_open(directory, &fresh, &why);
    if (!index)
        log_fatal("%s", why);
    return index;
}

static void bench_index(size_t n)
{
    struct index *index = open_index();
    double t = wall(), c = cpu();
    put_all(index, n, 0);
    report("put, batches of 64", n, t, c);
    t = wall(), c = cpu();
    put_all(index, n, 1000000);
    report("put again (next attempt changed)", n, t, c);
    t = wall(), c = cpu();
    get_all(index, n);
    report("get", n, t, c);
    t = wall(), c = cpu();
    size_t count = scan_some(index, INDEX_BY_ID, SLICE(""), n);
    report("scan by id", count, t, c);
    t = wall(), c = cpu();
    count = scan_some(index, INDEX_BY_NEXT_ATTEMPT, SLICE(""), n);
    report("scan by next attempt", count, t, c);
    t = wall(), c = cpu();
    report("change of queue, as hold ALL", change_all(index, INDEX_DEFERRED, INDEX_HOLD), t, c);
    t = wall(), c = cpu();
    report("and back, as release ALL", change_all(index, INDEX_HOLD, INDEX_DEFERRED), t, c);
    t = wall();
    scan_some(index, INDEX_BY_ID, SLICE(""), 50);
    printf("index first page of 50: %.0f us; count %llu\n", (wall() - t) * 1e6, (unsigned long long)index_count(index, INDEX_DEFERRED));
    t = wall();
    index_close(index);
    printf("index close: %.3f s\n", wall() - t);
    t = wall();
    index = open_index();
    printf("index open at %llu entries: %.3f s\n", (unsigned long long)index_count(index, INDEX_DEFERRED), wall() - t);
    t = wall();
    index_drop_all(index);
    printf("index drop all: %.3f s\n", wall() - t);
    index_close(index);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("largest memory: %.1f MB\n", (double)usage.ru_maxrss / 1024);
}

static size_t entries = 200000, messages = 20000;

static void run_all(void *arg UNUSED)
{
    static const size_t fibers[] = {1, 20, 64};
    queue_id_maker_init(&maker, 0, false);
    for (size_t i = 0; i < COUNT_OF(fibers) && messages > 0; i++)
        bench_append(fibers[i], fibers[i] == 1 ? messages / 10 + 1 : messages);
    if (entries > 0)
        bench_index(entries);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        entries = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        messages = strtoul(argv[2], NULL, 10);
    snprintf(directory, sizeof(directory), "%s/queue-bench-XXXXXX", argc > 3 ? argv[3] : ".");
    if (!mkdtemp(directory))
        log_fatal("%s: %s", directory, strerror(errno));
    run_main(run_all, NULL);
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    FILE *pipe = popen(command, "r");
    return pipe ? pclose(pipe) : 1;
}
