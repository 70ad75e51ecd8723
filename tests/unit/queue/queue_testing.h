/* queue_testing.h - a spool in a temporary directory and messages to put into it */
#ifndef POSTERN_QUEUE_TESTING_H
#define POSTERN_QUEUE_TESTING_H

#include "testing.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "queue/segment_file.h"
#include "queue/segment_writer.h"
#include "run/run.h"

static char spool[64];

UNUSED static void make_spool(void)
{
    snprintf(spool, sizeof(spool), "/tmp/postern-queue-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(spool));
}

static int remove_one(const char *path, const struct stat *status UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
    return remove(path);
}

UNUSED static void remove_spool(void)
{
    nftw(spool, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

UNUSED static struct segment_writer *open_writer_sized(uint64_t segment_size, uint64_t large)
{
    struct segment_writer_options options = {.queue_directory = spool, .segment_size = segment_size, .large_content = large};
    struct segment_writer *writer = segment_writer_open(&options);
    ck_assert_msg(writer != NULL, "segment_writer_open: %s", strerror(errno));
    return writer;
}

UNUSED static struct segment_writer *open_writer(void)
{
    return open_writer_sized(64 << 20, 256 << 10);
}

/* A message with a given number of recipients; the content is a pattern that depends on the id. */
struct test_message {
    struct envelope envelope;
    struct recipient recipients[8];
    char id[QUEUE_ID_MAX];
    char addresses[8][32];
};

UNUSED static void make_message(struct test_message *message, unsigned number, size_t recipients)
{
    memset(message, 0, sizeof(*message));
    snprintf(message->id, sizeof(message->id), "ABCDE%06X", number);
    message->envelope = (struct envelope){
        .queue_id = slice_of(message->id),
        .arrival_time = 1700000000000000 + number,
        .sender = SLICE("sender@example.test"),
        .recipients = message->recipients,
        .recipients_count = recipients,
        .message_id = SLICE("<m@example.test>"),
    };
    for (size_t i = 0; i < recipients; i++) {
        snprintf(message->addresses[i], sizeof(message->addresses[i]), "user%u@example.test", (unsigned)i % 8);
        message->recipients[i].address = slice_of(message->addresses[i]);
    }
}

UNUSED static char *make_content(unsigned number, size_t size)
{
    char *content = memory_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        content[i] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : (char)('a' + (i * 7 + number) % 26);
    return content;
}

/* append_message - returns what segment_append returns, errno kept.  Waits. */
UNUSED static int append_message(struct segment_writer *writer, unsigned number, size_t recipients, size_t content_size, struct queue_place *place)
{
    struct test_message message;
    make_message(&message, number, recipients);
    struct content_sink *sink = content_sink_new(writer);
    char *content = make_content(number, content_size);
    int result = -1;
    if (content_sink_write(sink, slice_make(content, content_size)))
        result = segment_append(writer, &message.envelope, sink, place);
    int error = errno;
    content_sink_free(sink);
    free(content);
    errno = error;
    return result;
}

UNUSED static int open_segment_at(uint64_t number, int flags)
{
    char path[160], name[SEGMENT_NAME_SIZE];
    snprintf(path, sizeof(path), "%s/segment/%s", spool, segment_file_name(number, name));
    return open(path, flags | O_CLOEXEC);
}

UNUSED static int open_content_at(const struct queue_place *place)
{
    struct segment_directory directory;
    if (!place->content_file)
        return open_segment_at(place->segment, O_RDONLY);
    ck_assert(segment_directory_open(&directory, spool));
    int fd = content_file_open(&directory, place->segment, place->content_file);
    segment_directory_close(&directory);
    return fd;
}

/* check_message - the record at the place is that message, content too. */
UNUSED static void check_message(const struct queue_place *place, unsigned number, size_t recipients, size_t content_size)
{
    struct arena *arena = arena_new(0);
    struct queue_record record;
    uint64_t next;
    int fd = open_segment_at(place->segment, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(record_read(fd, place->segment, place->offset, arena, &record, &next), RECORD_OK);
    ck_assert_uint_eq(next, place->offset + place->length);
    ck_assert_mem_eq(&record.place, place, sizeof(*place));
    struct test_message message;
    make_message(&message, number, recipients);
    ASSERT_SLICE(record.envelope.queue_id, message.id);
    ASSERT_SLICE(record.envelope.sender, "sender@example.test");
    ck_assert_uint_eq(record.envelope.recipients_count, recipients);
    for (size_t i = 0; i < recipients; i++) {
        ASSERT_SLICE(record.envelope.recipients[i].address, message.addresses[i]);
        ck_assert_int_eq(record.envelope.recipients[i].index, i);
        ck_assert_int_eq(record.recipient_states[i], RECIPIENT_STATE_PENDING);
    }
    ck_assert_uint_eq(record.place.content_length, content_size);
    int content_fd = open_content_at(place);
    ck_assert_int_ge(content_fd, 0);
    ck_assert(record_check_content(content_fd, &record));
    char *want = make_content(number, content_size), *got = memory_alloc(content_size + 1);
    ck_assert_int_eq(segment_file_read_now(content_fd, got, content_size, place->content_offset), content_size);
    ck_assert_mem_eq(got, want, content_size);
    free(want);
    free(got);
    close(content_fd);
    close(fd);
    arena_free(arena);
}

/* in_fiber - run a test's body in a fiber with a fresh spool. */
UNUSED static void in_fiber(void (*fn)(void *arg))
{
    make_spool();
    run_main(fn, NULL);
    remove_spool();
}

#endif
