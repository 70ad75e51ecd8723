/* session_reply.c - what servers say: reading it, and saying it again in our log and notices */
#include "session.h"

#include "base/log.h"
#include "service/transcript.h"
#include "smtp/ehlo_keywords.h"
#include "smtp/reply.h"

#define REPLY_LINE_MAX 2048   /* what we keep of a line */
#define REPLY_LINES_MAX 500   /* a server that talks longer is broken */

/* read_reply_line - one line, cut at REPLY_LINE_MAX; what is longer is read and dropped. */
static bool read_reply_line(struct session *session, struct buffer *line)
{
    struct slice piece;
    enum line_end end;

    buffer_clear(line);
    while ((end = stream_read_line(session->stream, REPLY_LINE_MAX, &piece)) == LINE_TOO_LONG) {
        if (line->len > 0)
            continue;
        buffer_append_slice(line, piece);
        log_warning("%s: response longer than %d: " SLICE_FORMAT "...", session->relay, REPLY_LINE_MAX, SLICE_ARGS(slice_first(piece, 30)));
    }
    if (end == LINE_NONE)
        return false;
    if (line->len == 0)
        buffer_append_slice(line, piece);
    return true;
}

/* filter_line - smtp_reply_filter: the administrator's wording of a line. */
static void filter_line(struct session *session, struct buffer *line)
{
    struct buffer value = BUFFER_INIT_MAX(REPLY_LINE_MAX);

    enum table_result found = table_list_lookup(session->reply_filter, buffer_slice(line), true, &value);
    if (found == TABLE_TRY_AGAIN)
        log_warning("reply filter lookup error for \"%s\"", buffer_string(line));
    if (found == TABLE_FOUND) {
        log_info("%s: replacing server reply \"%s\" with \"%s\"", session->relay, buffer_string(line), buffer_string(&value));
        buffer_clear(line);
        buffer_append_slice(line, buffer_slice(&value));
    }
    buffer_release(&value);
}

/* append_printable - notices say it in UTF-8, whatever the server speaks. */
static void append_printable(struct buffer *out, struct slice line)
{
    bool utf8 = slice_is_utf8(line);

    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];
        buffer_append_byte(out, c < 32 || c == 127 || (c > 127 && !utf8) ? '?' : (char)c);
    }
}

static void set_reply_status(struct slice text, struct reply *reply)
{
    struct status_code code;
    uint8_t class = (uint8_t)(reply->code / 100);

    reply->status = (struct status_code){class, 0, 0};
    if (status_code_parse(slice_trim_left(text), &code, NULL) && code.class == class)
        reply->status = code;
}

/* advise - what helps with a server that loses count of its replies. */
static void advise(const struct session *session)
{
    if (session->features & EHLO_PIPELINING)
        log_warning("to prevent loss of mail, turn off command pipelining for %s with the %s parameter", session->address,
                    session->lmtp ? "lmtp_discard_lhlo_keyword_address_maps" : "smtp_discard_ehlo_keyword_address_maps");
}

bool session_reply(struct session *session, int64_t timeout, struct reply *reply)
{
    struct buffer line = BUFFER_INIT_MAX(REPLY_LINE_MAX + 1);
    struct slice text;
    bool more = true, good = true;

    memset(reply, 0, sizeof(*reply));
    buffer_clear(&session->reply_text);
    stream_set_deadline(session->stream, clock_after(timeout));
    for (int lines = 0; more && good; lines++) {
        good = lines < REPLY_LINES_MAX && read_reply_line(session, &line);
        if (!good)
            break;
        transcript_in(session->transcript, buffer_slice(&line));
        if (session->reply_filter)
            filter_line(session, &line);
        if (session->reply_text.len > 0)
            buffer_append_byte(&session->reply_text, ' ');
        append_printable(&session->reply_text, buffer_slice(&line));
        if (!smtp_reply_parse(buffer_slice(&line), &reply->code, &more, &text)) {
            /* A line without a code.  In the handshake it is passed over.  Later replies might be taken for those of other commands (as Postfix does):
               such a connection cannot be trusted further. */
            more = true;
            if (!session->greeted)
                continue;
            log_warning("non-ESMTP response from %s: %s", session->relay, buffer_string(&line));
            advise(session);
            good = false;
            break;
        }
        set_reply_status(text, reply);
        if (session->take_line && lines > 0)
            session->take_line(session, text);
    }
    buffer_release(&line);
    session->unusable |= !good;
    session->says_goodbye |= reply->code == 421;
    reply->text = buffer_slice(&session->reply_text);
    if (!good)
        reply->code = 0;
    return good;
}

void session_say(struct session *session, struct slice text)
{
    struct slice rest = text, line;

    while (session->transcript && slice_next_line(&rest, &line))
        transcript_out(session->transcript, slice_trim(line));
    stream_write_slice(session->stream, text);
}

void session_lost(struct session *session, const char *phase, struct arena *arena, struct failure *failure)
{
    bool timed_out = stream_error(session->stream) == STREAM_TIMEOUT;

    session->unusable = true;
    failure->temporary = true;
    failure->status = "4.4.2";
    failure->remote_mta = arena_strdup(arena, session->host);
    failure->diagnostic = (struct slice){0};
    failure->reason = timed_out ? arena_format(arena, "conversation with %s[%s] timed out while %s", session->host, session->address, phase)
                                : arena_format(arena, "lost connection with %s[%s] while %s", session->host, session->address, phase);
}

static const char *status_in(struct arena *arena, struct status_code status)
{
    char text[STATUS_CODE_TEXT];

    return arena_strdup(arena, status_code_format(status, text));
}

void session_said(struct session *session, const struct reply *reply, const char *command, struct arena *arena, struct failure *failure)
{
    bool refuses = reply->code / 100 == 4 || reply->code / 100 == 5; /* else it is an answer to something that nobody asked */

    session->protocol_trouble |= !refuses || reply->code == 555 || (reply->code >= 500 && reply->code < 510);

    failure->temporary = reply->code / 100 == 4;
    failure->status = refuses ? status_in(arena, reply->status) : "5.5.0";
    failure->remote_mta = arena_strdup(arena, session->host);
    failure->diagnostic = arena_slice(arena, reply->text);
    failure->reason = arena_format(arena, "host %s[%s] said: " SLICE_FORMAT " (in reply to %s)", session->host, session->address,
                                   SLICE_ARGS(reply->text), command);
}
