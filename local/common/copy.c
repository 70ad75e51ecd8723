/* copy.c - from the queue's wire form to what files and commands get */
#include "copy.h"

#include "base/log.h"

#define PIECE (64 * 1024)

struct copying {
    const struct copy *copy;
    struct buffer out;
    bool line_start;               /* at the start of a line */
    bool ended;                    /* the last line has its end */
    bool after_cr;
};

static void end_line(struct copying *c)
{
    buffer_append_slice(&c->out, c->copy->end_of_line);
    c->line_start = true;
    c->ended = true;
}

static void header(struct copying *c, const char *name, struct slice value, bool brackets)
{
    buffer_printf(&c->out, brackets ? "%s: <" SLICE_FORMAT ">" : "%s: " SLICE_FORMAT, name, SLICE_ARGS(value));
    end_line(c);
}

static void own_headers(struct copying *c)
{
    const struct copy *copy = c->copy;

    if (copy->flags & COPY_FROM_LINE) {
        buffer_append_string(&c->out, "From ");
        buffer_append_slice(&c->out, copy->sender.len > 0 ? copy->sender : SLICE("MAILER-DAEMON"));
        buffer_append_string(&c->out, "  ");
        clock_asctime(&c->out, clock_wall());
        end_line(c);
    }
    if (copy->flags & COPY_RETURN_PATH)
        header(c, "Return-Path", copy->sender, true);
    if ((copy->flags & COPY_ORIGINAL_TO) && copy->original_to.len > 0)
        header(c, "X-Original-To", copy->original_to, false);
    if ((copy->flags & COPY_DELIVERED_TO) && copy->delivered_to.len > 0)
        header(c, "Delivered-To", copy->delivered_to, false);
}

/* line_text - part of a line; at its start the quoting rules apply.  A piece may cut "From ": then it is not quoted unless it is whole, so pieces are
   cut at line ends (copy_pieces). */
static void line_text(struct copying *c, struct slice text)
{
    if (text.len == 0)
        return;
    if (c->line_start) {
        if ((c->copy->flags & COPY_QUOTE_FROM) && slice_starts(text, SLICE("From ")))
            buffer_append_byte(&c->out, '>');
        if ((c->copy->flags & COPY_DOT_STUFF) && text.data[0] == '.')
            buffer_append_byte(&c->out, '.');
    }
    buffer_append_slice(&c->out, text);
    c->line_start = false;
    c->ended = false;
}

/* transform - CRLF becomes the wanted line end, and so does an LF that stands alone: whoever reads the mailbox sees a line end there, and what follows
   must not pass for the start of another message.  A CR that stands alone is data. */
static void transform(struct copying *c, struct slice data)
{
    while (data.len > 0) {
        size_t stop = slice_find(data, '\n');
        struct slice text = slice_first(data, stop);
        if (c->after_cr && stop > 0)
            line_text(c, SLICE("\r"));
        c->after_cr = slice_ends(text, SLICE("\r"));
        line_text(c, slice_first(text, text.len - c->after_cr));
        if (stop < data.len) {
            c->after_cr = false;
            end_line(c);
        }
        data = slice_from(data, stop + 1);
    }
}

static int flush(struct copying *c, int (*write)(void *context, struct slice data), void *context)
{
    int error = c->out.len > 0 ? write(context, buffer_slice(&c->out)) : 0;

    buffer_clear(&c->out);
    return error;
}

static void finish(struct copying *c)
{
    if (c->after_cr)
        line_text(c, SLICE("\r"));
    if (!c->ended)
        end_line(c);
    if (c->copy->flags & COPY_EMPTY_LINE)
        end_line(c);
}

/* cut_at_line - how much of the piece to take so that the rest begins a line; all of it when it has no line end. */
static size_t cut_at_line(struct slice piece, bool last)
{
    size_t end = slice_find_last(piece, '\n');

    return last || end == piece.len ? piece.len : end + 1;
}

static int copy_pieces(struct copying *c, int (*write)(void *context, struct slice data), void *context)
{
    const struct delivery *delivery = c->copy->delivery;
    struct buffer piece = BUFFER_INIT;
    int64_t position = 0;
    int error = 0;

    while (error == 0 && position < delivery->content_length) {
        buffer_clear(&piece);
        if (!content_read(delivery, position, PIECE, &piece) || piece.len == 0) {
            log_warning(SLICE_FORMAT ": cannot read the message in the queue: %s", SLICE_ARGS(delivery->request->envelope.queue_id), strerror(errno));
            error = EIO;
            break;
        }
        bool last = position + (int64_t)piece.len >= delivery->content_length;
        struct slice now = slice_first(buffer_slice(&piece), cut_at_line(buffer_slice(&piece), last));
        position += (int64_t)now.len;
        transform(c, now);
        if (position >= delivery->content_length)
            finish(c);
        error = flush(c, write, context);
    }
    buffer_release(&piece);
    return error;
}

int copy_message(const struct copy *copy, int (*write)(void *context, struct slice data), void *context)
{
    struct copying c = {.copy = copy, .line_start = true, .ended = true};
    int error;

    own_headers(&c);
    if (copy->delivery->content_length == 0)
        finish(&c);
    error = copy_pieces(&c, write, context);
    if (error == 0)
        error = flush(&c, write, context);
    buffer_release(&c.out);
    return error;
}

static int write_fd(void *context, struct slice data)
{
    int fd = *(int *)context;

    while (data.len > 0) {
        ssize_t n = write(fd, data.data, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        data = slice_from(data, (size_t)n);
    }
    return 0;
}

int copy_to_fd(const struct copy *copy, int fd)
{
    return copy_message(copy, write_fd, &fd);
}
