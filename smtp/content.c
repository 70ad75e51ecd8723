/* content.c - content from the queue to the wire.  The queue keeps it in wire form and knows what is in it: the normal message is sent as it is. */
#include "content.h"

#include "base/log.h"
#include "outgoing.h"
#include "run/run.h"

#define PIECE (64 * 1024)

void content_state_init(struct content_state *state, size_t limit)
{
    *state = (struct content_state){.limit = limit, .ended = true};
}

/* line_part - bytes of one line, without its CRLF. */
static void line_part(struct content_state *state, struct slice part, struct buffer *out)
{
    while (part.len > 0) {
        size_t room = state->limit == 0 ? part.len : state->limit - state->column;
        if (room == 0) {
            /* Break where RFC 5321 4.5.3.1.6 demands it, in a way that a header stays a header. */
            buffer_append_string(out, "\r\n ");
            state->column = 1;
            state->broke = true;
            continue;
        }
        if (state->column == 0 && part.data[0] == '.')
            buffer_append_byte(out, '.');
        struct slice now = slice_first(part, room);
        buffer_append_slice(out, now);
        state->column += now.len;
        part = slice_from(part, now.len);
    }
}

void content_transform(struct content_state *state, struct slice piece, struct buffer *out)
{
    while (piece.len > 0) {
        if (state->after_cr) {
            state->after_cr = false;
            if (piece.data[0] == '\n') {
                buffer_append_string(out, "\r\n");
                state->column = 0;
                state->ended = true;
                piece = slice_from(piece, 1);
                continue;
            }
            line_part(state, SLICE(" "), out); /* a bare CR is never sent */
        }
        size_t stop = slice_find_any(piece, "\r\n");
        if (stop > 0) {
            line_part(state, slice_first(piece, stop), out);
            state->ended = false;
        }
        if (stop < piece.len && piece.data[stop] == '\r')
            state->after_cr = true;
        else if (stop < piece.len)
            line_part(state, SLICE(" "), out); /* nor is a bare LF */
        piece = slice_from(piece, stop + 1);
    }
}

/* is_plain - nothing in the content needs a change. */
static bool is_plain(const struct client_params *params, const struct delivery *delivery)
{
    int64_t flags = delivery->request->envelope.content_flags;

    return !(flags & (CONTENT_DOT_LINES | CONTENT_STRAY_CR_LF)) && (!(flags & CONTENT_LONG_LINES) || params->line_length_limit <= 0);
}

/* A message on its way to the wire. */
struct sending {
    const struct client_params *params;
    struct session *session;
    struct slice queue_id;
    struct outgoing *outgoing;    /* NULL: headers and lines stay as they are */
    bool plain;                   /* the bytes of the queue are the bytes of the wire */
    struct content_state state;
    struct buffer rewritten, changed;
    char last[2];                 /* plain: the last two bytes */
    int64_t deadline;             /* of the whole request (smtp_per_request_deadline) */
};

/* must_downgrade - the server did not say that it takes 8-bit content, which this is or claims to be. */
static bool must_downgrade(const struct client_params *params, const struct session *session, const struct delivery *delivery)
{
    return !(session->features & EHLO_8BITMIME) && !params->disable_mime_output_conversion &&
           ((delivery->request->envelope.content_flags & CONTENT_8BIT_BODY) ||
            slice_equal_case(delivery->request->envelope.encoding, SLICE("8bit")));
}

static void send_changed(struct sending *s, struct slice piece)
{
    buffer_clear(&s->changed);
    bool broke = s->state.broke;
    content_transform(&s->state, piece, &s->changed);
    if (s->state.broke && !broke)
        log_info(SLICE_FORMAT ": breaking line > %zu bytes with <CR><LF>SPACE", SLICE_ARGS(s->queue_id), s->state.limit);
    stream_write(s->session->stream, s->changed.data, s->changed.len);
}

/* set_deadline - each write has smtp_data_xfer_timeout; with smtp_per_request_deadline the whole content has it, and earns time back at
   smtp_min_data_rate. */
static void set_deadline(struct sending *s, size_t bytes)
{
    int64_t longest = clock_after(s->params->data_xfer_timeout);

    s->deadline += (int64_t)bytes * MICROSECONDS / s->params->min_data_rate;
    if (!s->params->per_request_deadline || s->deadline > longest)
        s->deadline = longest;
    stream_set_deadline(s->session->stream, s->deadline);
}

static void send_piece(struct sending *s, struct slice piece)
{
    set_deadline(s, piece.len);
    if (s->plain) {
        stream_write(s->session->stream, piece.data, piece.len);
        s->last[0] = piece.len > 1 ? piece.data[piece.len - 2] : s->last[1];
        s->last[1] = piece.data[piece.len - 1];
    } else if (s->outgoing) {
        buffer_clear(&s->rewritten);
        outgoing_feed(s->outgoing, piece, &s->rewritten);
        send_changed(s, buffer_slice(&s->rewritten));
    } else {
        send_changed(s, piece);
    }
}

/* send_all - false: the content could not be read, or a table that may change it cannot answer. */
static bool send_all(struct sending *s, const struct delivery *delivery)
{
    struct buffer piece = BUFFER_INIT;
    bool good = true;

    for (int64_t position = 0; good && position < delivery->content_length && stream_error(s->session->stream) == STREAM_OK;) {
        buffer_clear(&piece);
        good = content_read(delivery, position, PIECE, &piece) && piece.len > 0;
        if (good)
            send_piece(s, buffer_slice(&piece));
        position += (int64_t)piece.len;
    }
    buffer_release(&piece);
    if (good && s->outgoing) {
        buffer_clear(&s->rewritten);
        outgoing_finish(s->outgoing, &s->rewritten);
        send_changed(s, buffer_slice(&s->rewritten));
        if ((good = !outgoing_failed(s->outgoing)) == false)
            errno = EAGAIN;
    }
    return good;
}

int content_send(const struct client_params *params, struct session *session, const struct delivery *delivery)
{
    struct sending s = {.params = params, .session = session, .queue_id = delivery->request->envelope.queue_id, .last = {'\r', '\n'}, .deadline = clock_after(params->data_xfer_timeout)};

    s.outgoing = params->outgoing ? outgoing_new(params->outgoing, delivery, must_downgrade(params, session, delivery)) : NULL;
    s.plain = !s.outgoing && is_plain(params, delivery);
    content_state_init(&s.state, params->line_length_limit > 0 ? (size_t)params->line_length_limit : 0);
    bool good = send_all(&s, delivery);
    if (good) {
        bool ended = s.plain ? s.last[0] == '\r' && s.last[1] == '\n' : s.state.column == 0 && !s.state.after_cr;
        if (!ended)
            stream_write_slice(session->stream, SLICE("\r\n"));
        if ((session->pix & PIX_DELAY_DOTCRLF) && stream_flush(session->stream))
            fiber_sleep(params->pix_workaround_delay_time); /* the final dot comes in a packet of its own */
        session_say(session, SLICE(".\r\n"));
    }
    outgoing_free(s.outgoing);
    buffer_release(&s.rewritten);
    buffer_release(&s.changed);
    return good ? 0 : -1;
}
