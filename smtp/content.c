/* content.c - content from the queue to the wire.  The queue keeps it in wire form and knows what is in it: the normal message is sent as it is. */
#include "content.h"

#include "base/log.h"

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

    return !(flags & CONTENT_DOT_LINES) && (!(flags & CONTENT_LONG_LINES) || params->line_length_limit <= 0);
}

int content_send(const struct client_params *params, struct session *session, const struct delivery *delivery)
{
    struct buffer piece = BUFFER_INIT, changed = BUFFER_INIT;
    struct content_state state;
    bool plain = is_plain(params, delivery);
    int64_t position = 0;
    int result = 0;
    char last[2] = {'\r', '\n'};

    content_state_init(&state, params->line_length_limit > 0 ? (size_t)params->line_length_limit : 0);
    while (position < delivery->content_length && result == 0 && stream_error(session->stream) == STREAM_OK) {
        buffer_clear(&piece);
        if (!content_read(delivery, position, PIECE, &piece) || piece.len == 0) {
            result = -1;
            break;
        }
        position += (int64_t)piece.len;
        stream_set_deadline(session->stream, clock_after(params->data_xfer_timeout));
        if (plain) {
            stream_write(session->stream, piece.data, piece.len);
            last[0] = piece.len > 1 ? piece.data[piece.len - 2] : last[1];
            last[1] = piece.data[piece.len - 1];
        } else {
            buffer_clear(&changed);
            content_transform(&state, buffer_slice(&piece), &changed);
            stream_write(session->stream, changed.data, changed.len);
        }
    }
    if (result == 0) {
        bool ended = plain ? last[0] == '\r' && last[1] == '\n' : state.column == 0 && !state.after_cr;
        stream_write_slice(session->stream, ended ? SLICE(".\r\n") : SLICE("\r\n.\r\n"));
    }
    buffer_release(&piece);
    buffer_release(&changed);
    return result;
}
