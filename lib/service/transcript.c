/* transcript.c - the transcript of a session and the notice made of it */
#include "service/transcript.h"

#include "base/clock.h"
#include "base/log.h"

enum {
    TRANSCRIPT_MAX = 32 * 1024, /* bytes kept of one session */
    LINE_WIDTH = 79,            /* of the notice */
    PATIENCE = 100              /* seconds for cleanup to take the notice */
};

struct transcript {
    struct buffer text; /* lines " In:  ..." and " Out: ...", LF */
    int64_t lines;
    const char *echo; /* the peer's name when all is logged as well; NULL: it is not */
};

struct transcript *transcript_new(void)
{
    struct transcript *transcript = memory_zalloc(1, sizeof(*transcript));

    buffer_init(&transcript->text, TRANSCRIPT_MAX);
    return transcript;
}

void transcript_free(struct transcript *transcript)
{
    if (!transcript)
        return;
    buffer_release(&transcript->text);
    free(transcript);
}

/* without_proof - "AUTH PLAIN AGFsaWNl...": what follows the mechanism is a password. */
static struct slice without_proof(struct slice line)
{
    struct slice rest = line, word;

    if (!slice_next_token(&rest, " \t", &word) || !slice_equal_case(word, SLICE("AUTH")) || !slice_next_token(&rest, " \t", &word))
        return line;
    return slice_first(line, line.len - rest.len);
}

static void note(struct transcript *transcript, struct slice mark, struct slice line)
{
    if (!transcript)
        return;
    line = without_proof(line);
    if (transcript->echo)
        log_info("%c %s: " SLICE_FORMAT, mark.data[1] == 'I' ? '<' : '>', transcript->echo, SLICE_ARGS(line));
    if (transcript->text.overflow)
        return;
    buffer_append_slice(&transcript->text, mark);
    buffer_append_slice(&transcript->text, line);
    buffer_append_byte(&transcript->text, '\n');
    transcript->lines++;
}

void transcript_in(struct transcript *transcript, struct slice line)
{
    note(transcript, SLICE(" In:  "), line);
}

void transcript_out(struct transcript *transcript, struct slice line)
{
    note(transcript, SLICE(" Out: "), line);
}

void transcript_echo(struct transcript *transcript, const char *peer)
{
    transcript->echo = peer;
}

void transcript_forget(struct transcript *transcript)
{
    buffer_release(&transcript->text);
    buffer_init(&transcript->text, TRANSCRIPT_MAX);
    transcript->lines = 0;
}

int64_t transcript_lines(const struct transcript *transcript)
{
    return transcript->lines;
}

/* ---- the notice ---- */

/* fold_line - long lines are broken at blanks, what follows is indented. */
static void fold_line(struct buffer *out, struct slice line)
{
    size_t width = LINE_WIDTH;

    while (line.len > width) {
        size_t cut = slice_find_last(slice_first(line, width + 1), ' ');
        if (cut == 0 || cut > width || slice_trim(slice_first(line, cut)).len == 0)
            cut = width;
        buffer_append_slice(out, slice_first(line, cut));
        buffer_append_string(out, "\r\n     ");
        line = slice_trim_left(slice_from(line, cut));
        width = LINE_WIDTH - 5;
    }
    buffer_append_slice(out, line);
    buffer_append_string(out, "\r\n");
}

static void write_notice(const struct transcript *transcript, const struct transcript_notice *notice, struct slice queue_id, struct buffer *out)
{
    struct slice rest = buffer_slice(&transcript->text), line;

    buffer_printf(out, "Received: by %s (%s)\r\n\tid " SLICE_FORMAT "; ", notice->myhostname, notice->mail_name, SLICE_ARGS(queue_id));
    clock_rfc5322(out, clock_wall());
    buffer_append_string(out, "\r\nDate: ");
    clock_rfc5322(out, clock_wall());
    buffer_printf(out, "\r\nFrom: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: Postmaster <" SLICE_FORMAT ">\r\n", notice->myhostname,
                  SLICE_ARGS(notice->recipient_shown));
    buffer_printf(out, "Subject: %s %s: errors from %s\r\n\r\n", notice->mail_name, notice->program, notice->peer);
    if (notice->introduction) {
        fold_line(out, slice_of(notice->introduction));
        buffer_append_string(out, "\r\n");
    }
    buffer_append_string(out, "Transcript of session follows.\r\n\r\n");
    while (slice_next_line(&rest, &line))
        fold_line(out, line);
    buffer_append_string(out, "\r\n");
    if (notice->end_reason)
        buffer_printf(out, "Session aborted, reason: %s\r\n", notice->end_reason);
    buffer_append_string(out, notice->introduction ? "For other details, see the local mail logfile\r\n" : "\r\nFor other details, see the local mail logfile\r\n");
}

void transcript_send(const struct transcript *transcript, const struct transcript_notice *notice)
{
    struct buffer text = BUFFER_INIT_MAX(4 * TRANSCRIPT_MAX);
    struct submit_outcome outcome;
    struct recipient recipient = {.address = notice->recipient};
    struct envelope envelope = {.arrival_time = clock_wall(), .source = SOURCE_BOUNCE, .recipients = &recipient, .recipients_count = 1,
                                .rewrite_context = SLICE("local")};
    struct submission *submission = submit_open(notice->cleanup, clock_after(PATIENCE * MICROSECONDS));

    if (!submission) {
        log_warning("postmaster notify: %s", strerror(errno));
        return;
    }
    struct arena *arena = arena_new(1024);
    envelope.queue_id = submit_queue_id(submission);
    envelope.sender = arena_format(arena, "%s@%s", notice->double_bounce_sender, notice->myhostname);
    write_notice(transcript, notice, envelope.queue_id, &text);
    submit_envelope(submission, &envelope, SUBMIT_NO_BCC | (notice->filtered ? 0 : SUBMIT_NO_HEADER_BODY_CHECKS | SUBMIT_NO_MILTERS));
    submit_content(submission, buffer_slice(&text));
    submit_finish(submission, (int64_t)text.len, arena, &outcome, clock_after(PATIENCE * MICROSECONDS));
    buffer_release(&text);
    if (outcome.status != SUBMIT_STATUS_ACCEPTED)
        log_warning("postmaster notify: " SLICE_FORMAT, SLICE_ARGS(outcome.reply));
    arena_free(arena);
}
