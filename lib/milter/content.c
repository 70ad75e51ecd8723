/* content.c - the content of a message, filter after filter, and what a filter makes of it */
#include "milter/private.h"

enum { PACKETS_MAX = 100000 /* in answer to the end of a message */ };

/* ---- which filters ---- */

static bool has_a_say(const struct milter *f)
{
    return f->state == MILTER_IS_OPEN || (f->state == MILTER_HAS_LEFT && f->settled);
}

struct milter *milters_next(struct milters *m, struct milter *previous)
{
    size_t i = 0;

    while (previous && i < m->count && m->filters[i] != previous)
        i++;
    for (i += previous != NULL; i < m->count; i++)
        if (has_a_say(m->filters[i]))
            return m->filters[i];
    return NULL;
}

bool milters_want_content(struct milters *m)
{
    return milters_next(m, NULL) != NULL;
}

/* ---- telling ---- */

/* begin - the macros of a content are the same for all its pieces. */
static bool begin(struct milter *f)
{
    if (f->state != MILTER_IS_OPEN)
        return false;
    if (f->content_begun)
        return true;
    f->content_begun = true;
    f->header_done = f->body_done = false;
    if (f->all->list) {
        buffer_clear(&f->header_macros);
        buffer_clear(&f->message_macros);
        milter_macros(f, STAGE_END_OF_HEADER, &f->header_macros);
        milter_macros(f, STAGE_END_OF_MESSAGE, &f->message_macros);
    }
    return true;
}

/* settle - a decision before the end of the message: kept for milter_end_of_message. */
static void settle(struct milter *f, const struct milter_outcome *outcome)
{
    if (f->state == MILTER_HAS_LEFT || outcome->verdict == MILTER_CONTINUE)
        return;
    free(f->settled);
    f->settled = memory_copy(outcome, sizeof(*outcome));
    f->state = MILTER_HAS_DECIDED;
}

/* tell - false when the filter wants no more: it has decided, failed, or skips the rest of this kind (*skip). */
static bool tell(struct milter *f, char command, const struct buffer *macros, struct slice data, bool silent, bool *skip)
{
    struct milter_outcome outcome = {.verdict = MILTER_CONTINUE};

    milter_send(f, command, macros, data);
    if (silent)
        return true;
    milter_await(f, command, f->content_timeout, false, skip, &outcome);
    settle(f, &outcome);
    return f->state == MILTER_IS_OPEN && !*skip;
}

/* put_value - of a field: lines separated by LF; without the first blank, unless the filter wants to see it. */
static void put_value(struct milter *f, struct buffer *out, struct slice value)
{
    if (!(f->steps & STEP_HEADER_BLANK) && value.len && (value.data[0] == ' ' || value.data[0] == '\t'))
        value = slice_from(value, 1);
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] != '\r' || i + 1 == value.len || value.data[i + 1] != '\n')
            buffer_append_byte(out, value.data[i] ? value.data[i] : ' ');
    buffer_append_byte(out, '\0');
}

bool milter_header(struct milter *f, struct slice name, struct slice value)
{
    struct buffer data = BUFFER_INIT;

    if (!begin(f))
        return false;
    if (f->header_done || (f->steps & STEP_NO_HEADERS))
        return true;
    milter_put_text(&data, slice_trim_right(name));
    put_value(f, &data, value);
    bool skip = false;
    tell(f, 'L', &f->header_macros, buffer_slice(&data), f->steps & STEP_SILENT_HEADER, &skip);
    f->header_done = skip;
    buffer_release(&data);
    return f->state == MILTER_IS_OPEN;
}

bool milter_end_of_header(struct milter *f)
{
    bool skip = false;

    if (!begin(f))
        return false;
    if (!(f->steps & STEP_NO_END_OF_HEADER))
        tell(f, 'N', &f->header_macros, (struct slice){0}, f->steps & STEP_SILENT_END_OF_HEADER, &skip);
    return f->state == MILTER_IS_OPEN;
}

/* send_chunk - the first bytes of what was collected. */
static bool send_chunk(struct milter *f)
{
    struct slice chunk = slice_first(buffer_slice(&f->body), MILTER_CHUNK);
    bool skip = false;

    tell(f, 'B', &f->message_macros, chunk, f->steps & STEP_SILENT_BODY, &skip);
    buffer_consume(&f->body, chunk.len);
    f->body_done = skip;
    return f->state == MILTER_IS_OPEN && !skip;
}

bool milter_body(struct milter *f, struct slice piece)
{
    if (!begin(f) || f->body_done || (f->steps & STEP_NO_BODY))
        return false;
    while (piece.len) {
        struct slice part = slice_first(piece, MILTER_CHUNK - f->body.len);
        buffer_append_slice(&f->body, part);
        piece = slice_from(piece, part.len);
        if (f->body.len == MILTER_CHUNK && !send_chunk(f))
            return false;
    }
    return true;
}

/* ---- edits ---- */

/* What is under way at the end of a message. */
struct edits {
    const struct milter_editor *editor;
    void *context;
    bool body_replaced;
    struct buffer value;
};

/* clean - what comes from a filter and goes into a header: lines separated by LF, each but the first begins with a blank, no other control
   characters; with the blank after the colon that the filter left out. */
static struct slice clean(const struct milter *f, struct edits *e, struct slice value)
{
    struct buffer *out = &e->value;

    buffer_clear(out);
    if (!(f->steps & STEP_HEADER_BLANK))
        buffer_append_byte(out, ' ');
    while (value.len && (value.data[value.len - 1] == '\n' || value.data[value.len - 1] == '\r'))
        value.len--;
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.data[i];
        if (byte == '\r')
            continue;
        if (byte != '\n') {
            buffer_append_byte(out, (byte < ' ' && byte != '\t') || byte == 127 ? ' ' : (char)byte);
            continue;
        }
        buffer_append_byte(out, '\n');
        if (i + 1 < value.len && value.data[i + 1] != ' ' && value.data[i + 1] != '\t')
            buffer_append_byte(out, '\t');
    }
    return buffer_slice(out);
}

static bool is_header_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.data[i] <= ' ' || (unsigned char)name.data[i] >= 127 || name.data[i] == ':')
            return false;
    return name.len > 0;
}

static struct slice bare_address(struct slice address)
{
    address = slice_trim(address);
    if (slice_starts(address, SLICE("<")) && slice_ends(address, SLICE(">")))
        address = slice_make(address.data + 1, address.len - 2);
    return address;
}

/* apply - one edit; NULL, or a reply why it cannot be.  A filter that breaks the rules is told off in the log and its edit is left out. */
static const char *apply(struct milter *f, struct edits *e, const struct milter_reply *r)
{
    const struct milter_editor *editor = e->editor;
    bool header = r->kind == REPLY_IS_ADD_HEADER || r->kind == REPLY_IS_INSERT_HEADER || r->kind == REPLY_IS_CHANGE_HEADER;
    struct slice value = header ? clean(f, e, r->value) : r->value;

    if (header ? !is_header_name(r->name) : r->kind != REPLY_IS_BODY && (slice_has_control(r->value) || slice_has_control(r->parameters))) {
        log_warning("milter %s: ignoring a modification with a bad header name, or control characters in an address or reason", f->name);
        return NULL;
    }
    switch (r->kind) {
    case REPLY_IS_ADD_HEADER: return editor->add_header(e->context, r->name, value);
    case REPLY_IS_INSERT_HEADER: return editor->insert_header(e->context, r->index, r->name, value);
    case REPLY_IS_CHANGE_HEADER: return editor->change_header(e->context, r->index ? r->index : 1, r->name, value, r->value.len == 0);
    case REPLY_IS_ADD_RECIPIENT: return editor->add_recipient(e->context, bare_address(value), slice_trim(r->parameters));
    case REPLY_IS_DELETE_RECIPIENT: return editor->delete_recipient(e->context, bare_address(value));
    case REPLY_IS_CHANGE_SENDER: return editor->change_sender(e->context, bare_address(value), slice_trim(r->parameters));
    case REPLY_IS_QUARANTINE: return editor->quarantine(e->context, value);
    default: break;
    }
    bool first = !e->body_replaced;
    e->body_replaced = true;
    return editor->replace_body(e->context, value, first);
}

/* refuse - an edit was impossible. */
static void refuse(struct milter *f, const char *reply, struct milter_outcome *outcome)
{
    struct buffer text = BUFFER_INIT_MAX(MILTER_TEXT_MAX);

    char status[12];
    int code;

    if (milter_reply_text(slice_of(reply), &code, status, &text))
        milter_set_refusal(outcome, code, status, buffer_string(&text));
    else
        milter_set_refusal(outcome, 451, "4.3.0", "Queue file write error");
    buffer_release(&text);
    milter_leave(f, outcome);
}

/* take_decision - edits one after the other, then the last word. */
static void take_decision(struct milter *f, struct edits *e, struct milter_outcome *outcome)
{
    struct buffer packet = BUFFER_INIT_MAX(MILTER_PACKET_MAX);
    struct milter_reply reply;
    const char *trouble = NULL;
    bool done = false, skip = false;
    char code;

    for (int i = 0; !done; i++) {
        if (i == PACKETS_MAX)
            log_warning("milter %s: more than %d replies to one message", f->name, PACKETS_MAX);
        if (i == PACKETS_MAX || !milter_receive(f, 'E', f->content_timeout, &packet, &code)) {
            milter_fail(f, outcome);
            break;
        }
        milter_parse_reply(code, buffer_slice(&packet), &reply);
        if (reply.kind > REPLY_IS_EDIT)
            trouble = apply(f, e, &reply);
        else
            done = milter_obey(f, &reply, false, &skip, outcome);
        if (trouble) {
            refuse(f, trouble, outcome);
            break;
        }
    }
    buffer_release(&packet);
}

static void say_end(struct milter *f, struct edits *e, struct milter_outcome *outcome)
{
    while (f->body.len && f->state == MILTER_IS_OPEN && !f->body_done)
        send_chunk(f);
    buffer_clear(&f->body);
    if (f->state != MILTER_IS_OPEN)
        return;
    milter_send(f, 'E', &f->message_macros, (struct slice){0});
    take_decision(f, e, outcome);
    if (f->state == MILTER_IS_OPEN)
        f->state = MILTER_HAS_DECIDED;
}

void milter_end_of_message(struct milter *f, const struct milter_editor *editor, void *context, struct milter_outcome *outcome)
{
    struct edits e = {.editor = editor, .context = context};

    memset(outcome, 0, sizeof(*outcome));
    if (begin(f))
        say_end(f, &e, outcome);
    if (outcome->verdict == MILTER_CONTINUE && f->settled)
        *outcome = *f->settled;
    buffer_release(&e.value);
    buffer_release(&f->body);
    f->content_begun = false;
    if (f->state != MILTER_HAS_LEFT) {
        free(f->settled);
        f->settled = NULL;
    }
}

struct slice milter_outcome_text(const struct milter_outcome *outcome, struct arena *arena)
{
    return arena_format(arena, "%s%s%s", outcome->status, outcome->status[0] ? " " : "", outcome->text);
}
