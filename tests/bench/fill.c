/* fill.c - a queue with many deferred messages, made quickly: for figures of the queue's commands (tests/bench/commands)

   fill QUEUE_DIRECTORY MESSAGES   (the mail system must be down) */
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "queue/queue_id.h"
#include "queue/store.h"
#include "run/run.h"

enum { FIBERS = 64, DOMAINS = 2000, SENDERS = 5000, HOUR = 3600 };

static const char *directory;
static size_t left, running;
static struct segment_writer *writer;
static struct store *store;
static struct queue_id_maker maker;
static struct condition finished;

static void put_entry(const struct envelope *envelope, const struct queue_place *place, size_t number)
{
    char destination[64];
    struct index_recipient to = {.address = envelope->recipients[0].address, .status = SLICE("4.4.1"),
                                 .reason = SLICE("connect to mx.example.test[192.0.2.1]:25: Connection timed out")};
    snprintf(destination, sizeof(destination), "smtp:domain%zu.example.test", number % DOMAINS);
    struct index_entry entry = {.queue_id = envelope->queue_id, .queue = INDEX_DEFERRED, .place = *place,
                                .arrival_time = envelope->arrival_time, .last_attempt = envelope->arrival_time,
                                .next_attempt = envelope->arrival_time + (int64_t)(HOUR + number % HOUR) * MICROSECONDS, .attempts = 1,
                                .message_size = envelope->message_size, .sender = envelope->sender, .destination = slice_of(destination),
                                .recipients = &to, .recipient_count = 1};
    if (index_put(store_index(store), &entry) < 0)
        log_fatal("cannot write to the index");
}

static void make_one(size_t number)
{
    static const char content[] = "Subject: one of many\r\nMessage-Id: <some.message@example.test>\r\n\r\nHello.\r\n";
    char id[QUEUE_ID_MAX], sender[64], recipient[64];
    struct queue_place place;
    struct recipient to = {.notify = 0};
    snprintf(recipient, sizeof(recipient), "user%zu@domain%zu.example.test", number, number % DOMAINS);
    to.address = slice_of(recipient);
    snprintf(sender, sizeof(sender), "sender%zu@example.test", number % SENDERS);
    struct envelope envelope = {.queue_id = queue_id_make(&maker, id), .arrival_time = clock_wall(), .sender = slice_of(sender),
                                .recipients = &to, .recipients_count = 1, .message_size = sizeof(content) - 1};
    struct content_sink *sink = content_sink_new(writer);
    content_sink_write(sink, slice_make(content, sizeof(content) - 1));
    if (segment_append(writer, &envelope, sink, &place) < 0)
        log_fatal("append: %s", strerror(errno));
    content_sink_free(sink);
    put_entry(&envelope, &place, number);
}

static void maker_fiber(void *arg UNUSED)
{
    while (left > 0)
        make_one(left--);
    if (--running == 0)
        condition_broadcast(&finished);
}

static void fill(void *arg UNUSED)
{
    char *why = NULL;
    struct segment_writer_options options = {.queue_directory = directory, .segment_size = 64 << 20, .large_content = 256 << 10};
    queue_id_maker_init(&maker, 0, false);
    writer = segment_writer_open(&options);
    store = store_open(directory, NULL, NULL, &why);
    if (!writer || !store || !queue_id_maker_share(&maker, directory))
        log_fatal("cannot open the queue: %s", why ? why : strerror(errno));
    condition_init(&finished);
    running = FIBERS;
    for (int i = 0; i < FIBERS; i++)
        fiber_start("maker", maker_fiber, NULL);
    while (running > 0) {
        condition_wait(&finished, clock_after(MICROSECONDS));
        index_maintain(store_index(store));
    }
    segment_writer_close(writer);
    store_recover(store); /* reads all once, so that the index knows how far it was read */
    store_sync(store);
    store_close(store);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: fill QUEUE_DIRECTORY MESSAGES\n");
        return argc == 1 ? 0 : 1;
    }
    directory = argv[1];
    left = strtoul(argv[2], NULL, 10);
    run_main(fill, NULL);
    return 0;
}
