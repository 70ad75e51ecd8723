/* cleanup_testing.h - one message through cleanup into a queue in a temporary directory, and what came out */
#ifndef POSTERN_CLEANUP_TESTING_H
#define POSTERN_CLEANUP_TESTING_H

#include "testing.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "../../../qmgr/cleanup/transaction.h"
#include "base/log.h"
#include "run/run.h"

static const char base_config[] = "myhostname = mail.lab.test\nmydomain = lab.test\nmyorigin = lab.test\n"
                                  "mydestination = lab.test, $myhostname, localhost\ncompatibility_level = 3.6\n"
                                  "mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\nalias_maps =\nlocal_recipient_maps =\nrecipient_delimiter = +\n";

struct outcome {
    struct refusal refusal;
    char reply[200];
    bool stored;
    struct arena *arena;
    struct envelope envelope; /* as read back */
    struct slice content;     /* LF line ends */
    struct buffer recipients; /* "address(original)[notify] ..." */
    size_t memory;            /* bytes that the transaction had taken before its end */
    struct buffer log;
};

static char spool[64];
static struct outcome *watched;

static int remove_one(const char *path, const struct stat *status UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
    return remove(path);
}

static void on_log(enum log_severity severity, const char *text, void *context)
{
    buffer_printf(&watched->log, "%s\n", text);
}

/* with_crlf - LF text to wire form (heap). */
UNUSED static struct slice with_crlf(struct arena *arena, const char *text)
{
    struct buffer out = BUFFER_INIT;
    for (; *text; text++) {
        if (*text == '\n')
            buffer_append_byte(&out, '\r');
        buffer_append_byte(&out, *text);
    }
    struct slice wire = arena_slice(arena, buffer_slice(&out));
    buffer_release(&out);
    return wire;
}

static char segment_path[300];

static int find_segment(const char *path, const struct stat *status UNUSED, int flag, struct FTW *ftw UNUSED)
{
    if (flag == FTW_F && strstr(path, "/segment/"))
        snprintf(segment_path, sizeof(segment_path), "%s", path);
    return 0;
}

/* read_back - the only record of the only segment. */
static void read_back(struct outcome *o)
{
    struct queue_record record;
    uint64_t next;
    const char *name = segment_path;
    segment_path[0] = '\0';
    nftw(spool, find_segment, 16, FTW_PHYS);
    o->stored = false;
    if (!name[0])
        return;
    int fd = open(name, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    uint64_t number = strtoull(strrchr(name, '/') + 1, NULL, 16);
    uint64_t offset = 0;
    while (offset < 4096 && record_read(fd, number, offset, o->arena, &record, &next) != RECORD_OK)
        offset += 8;
    if (offset < 4096) {
        o->stored = true;
        o->envelope = record.envelope;
        o->envelope.hold = record.state == MESSAGE_STATE_HELD;
        char *content = arena_alloc(o->arena, record.place.content_length + 1);
        ck_assert(record.place.content_file == 0);
        ck_assert_int_eq(pread(fd, content, record.place.content_length, (off_t)record.place.content_offset), (ssize_t)record.place.content_length);
        size_t len = 0;
        for (size_t i = 0; i < record.place.content_length; i++) {
            if (content[i] != '\r')
                content[len++] = content[i];
        }
        o->content = slice_make(content, len);
        for (size_t i = 0; i < record.envelope.recipients_count; i++) {
            const struct recipient *r = &record.envelope.recipients[i];
            buffer_printf(&o->recipients, "%s" SLICE_FORMAT, i ? " " : "", SLICE_ARGS(r->address));
            if (r->original.len)
                buffer_printf(&o->recipients, "(" SLICE_FORMAT ")", SLICE_ARGS(r->original));
            if (r->notify)
                buffer_printf(&o->recipients, "[%d]", (int)r->notify);
        }
    }
    close(fd);
}

struct job {
    const char *config;
    struct submit_envelope submitted;
    const char *content;
    size_t piece; /* bytes fed at once; 0: all */
    struct submit_end end; /* what the submitter decides at the end */
    struct milters *(*connect_filter)(void); /* a mail filter's connection, as smtpd hands it over; NULL: none */
    struct outcome *outcome;
};

static void job_fiber(void *arg)
{
    struct job *job = arg;
    struct outcome *o = job->outcome;
    o->arena = arena_new(0);
    struct config *config = config_empty();
    ck_assert(config_parse(config, slice_of(base_config), "base"));
    ck_assert(config_parse(config, slice_of(job->config), "test"));
    struct cleanup *c = cleanup_new(config, 1);
    snprintf(spool, sizeof(spool), "/tmp/postern-cleanup-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(spool));
    struct segment_writer_options options = {.queue_directory = spool, .segment_size = 64 << 20, .large_content = 256 << 10};
    c->writer = segment_writer_open(&options);
    ck_assert_ptr_nonnull(c->writer);
    struct slice wire = with_crlf(o->arena, job->content);
    struct arena *arena = arena_new(0);
    struct submit_envelope submitted;
    MESSAGE_COPY(submit_envelope, &job->submitted, arena, &submitted);
    struct transaction *t = transaction_begin(c, arena, SLICE("ABCDE123456"), &submitted);
    if (job->connect_filter)
        transaction_filter(t, job->connect_filter());
    for (size_t i = 0; i < wire.len; i += job->piece ? job->piece : wire.len)
        transaction_content(t, job->piece ? slice_first(slice_from(wire, i), job->piece) : wire);
    transaction_decide(t, &job->end);
    o->memory = arena_size(t->arena);
    transaction_finish(t, &o->refusal);
    snprintf(o->reply, sizeof(o->reply), "%d " SLICE_FORMAT, o->refusal.reply_code, SLICE_ARGS(o->refusal.reply));
    transaction_free(t);
    segment_writer_close(c->writer);
    cleanup_free(c);
    config_free(config);
    read_back(o);
    nftw(spool, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* submit - recipients: blank-separated.  The outcome is static: one at a time. */
UNUSED static struct outcome *submit_job(struct job *job, const char *sender, const char *recipients)
{
    static struct outcome outcome;
    static struct recipient list[4000];
    struct slice rest = slice_of(recipients), token;
    buffer_release(&outcome.recipients);
    buffer_release(&outcome.log);
    arena_free(outcome.arena);
    memset(&outcome, 0, sizeof(outcome));
    job->outcome = watched = &outcome;
    struct envelope *e = &job->submitted.envelope;
    e->sender = slice_of(sender);
    e->recipients = list;
    e->recipients_count = 0;
    while (slice_next_token(&rest, " ", &token)) {
        list[e->recipients_count].notify = e->ret ? NOTIFY_SUCCESS : 0;
        list[e->recipients_count++].address = token;
    }
    e->log_message_origin = SLICE("localhost[127.0.0.1]");
    e->log_protocol_name = SLICE("ESMTP");
    e->log_helo_name = SLICE("client.example.test");
    if (e->arrival_time == 0)
        e->arrival_time = INT64_C(1764000000) * MICROSECONDS;
    log_set_watcher(on_log, NULL);
    run_main(job_fiber, job);
    log_set_watcher(NULL, NULL);
    return &outcome;
}

UNUSED static struct outcome *submit(const char *config, const char *sender, const char *recipients, const char *content)
{
    struct job job = {.config = config, .content = content};
    return submit_job(&job, sender, recipients);
}

#define ASSERT_STORED(o) ck_assert_msg((o)->stored && (o)->refusal.status == SUBMIT_STATUS_ACCEPTED, "refused: %s\n%s", (o)->reply, buffer_string(&(o)->log))
#define ASSERT_RECIPIENTS(o, want) ck_assert_str_eq(buffer_string(&(o)->recipients), want)
#define ASSERT_LOGGED(o, text) ck_assert_msg(strstr(buffer_string(&(o)->log), text), "\"%s\" is not in the log:\n%s", text, buffer_string(&(o)->log))

#endif
