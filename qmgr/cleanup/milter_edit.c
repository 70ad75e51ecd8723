/* milter_edit.c - what a mail filter does to the message */
#include "base/log.h"
#include "filtering.h"
#include "run/run.h"
#include "smtp/esmtp.h"

#define TOO_BIG "552 5.3.4 Message file too big"
#define WRITE_ERROR "451 4.3.0 Queue file write error"

/* breathe - a filter that asks for very much, all at once, does not hold up other messages. */
static void breathe(struct filtering *f)
{
    if (++f->requests % 100 == 0)
        fiber_yield();
}

/* count_edit - NULL, or why there may be no more of them. */
static const char *count_edit(struct filtering *f)
{
    breathe(f);
    return ++f->edits > FILTERING_EDITS_MAX ? TOO_BIG : NULL;
}

/* refusal - why the message is refused by now, as a whole reply. */
static const char *refusal(struct filtering *f)
{
    const struct refusal *r = &f->t->refusal;
    return arena_printf(f->t->arena, "%d " SLICE_FORMAT, r->reply_code, SLICE_ARGS(r->reply));
}

/* ---- header ---- */

/* A field that is to be put somewhere: its text, and what milter_header_checks put before it. */
struct new_field {
    struct buffer made, prepended;
    struct slice text;
};

/* make_field - false: it is not to be put. */
static bool make_field(struct filtering *f, struct slice name, struct slice value, struct new_field *field)
{
    struct transaction *t = f->t;
    struct slice ignored;
    field_text_make(&field->made, name, value, t->cleanup->params.cleanup_replace_stray_cr_lf ? ' ' : '\r');
    field->text = buffer_slice(&field->made);
    if (!header_parse(field->text, &ignored, &ignored)) {
        log_warning(SLICE_FORMAT ": milter asks for a header that is none: \"" SLICE_FORMAT "\"", SLICE_ARGS(t->queue_id),
                    SLICE_ARGS(slice_first(field->text, 100)));
        return false;
    }
    return check_milter_header(t, &field->text, &field->prepended) == CHECK_KEEP && !transaction_is_over(t) && !t->refused;
}

/* put_field - at that place; replace: in the stead of what is there. */
static const char *put_field(struct filtering *f, size_t place, bool replace, struct slice name, struct slice value)
{
    struct new_field field = {.made = BUFFER_INIT_MAX(FIELD_LIST_TEXT_MAX)};
    const char *problem = count_edit(f);
    if (!problem && make_field(f, name, value, &field)) {
        struct field_list *header = &f->header;
        bool good = replace ? field_list_replace(header, place, field.text) : field_list_insert(header, place, field.text);
        good = good && (field.prepended.len == 0 || field_list_insert(header, place, buffer_slice(&field.prepended)));
        problem = good ? NULL : TOO_BIG;
        f->header_changed = true;
    }
    buffer_release(&field.made);
    buffer_release(&field.prepended);
    return f->t->refused ? refusal(f) : problem;
}

static const char *add_header(void *context, struct slice name, struct slice value)
{
    struct filtering *f = context;
    return put_field(f, f->header.count, false, name, value);
}

static const char *insert_header(void *context, uint32_t index, struct slice name, struct slice value)
{
    struct filtering *f = context;
    return put_field(f, index < f->header.count ? index : f->header.count, false, name, value);
}

static const char *change_header(void *context, uint32_t index, struct slice name, struct slice value, bool delete)
{
    struct filtering *f = context;
    size_t place = field_list_find(&f->header, name, index);
    bool there = place < f->header.count;
    if (!delete)
        return put_field(f, place, there, name, value);
    if (there) {
        field_list_delete(&f->header, place);
        f->header_changed = true;
    }
    return count_edit(f);
}

/* ---- body ---- */

static const char *replace_body(void *context, struct slice piece, bool first)
{
    struct filtering *f = context;
    struct transaction *t = f->t;
    int64_t limit = t->cleanup->params.message_size_limit;
    struct buffer cleaned = BUFFER_INIT;
    if (first) {
        content_sink_free(f->body);
        f->body = content_sink_new(t->cleanup->writer);
        f->held_cr = f->body_open = false;
    }
    piece = content_clean(t, piece, &f->held_cr, &cleaned);
    bool fits = limit <= 0 || content_sink_size(f->body) + piece.len <= (uint64_t)limit;
    bool good = fits && content_sink_write(f->body, piece);
    if (piece.len)
        f->body_open = !slice_ends(piece, SLICE("\n"));
    buffer_release(&cleaned);
    return !fits ? TOO_BIG : good ? NULL : WRITE_ERROR;
}

/* ---- envelope ---- */

/* one_address - the address of a request; of several the first. */
static struct slice one_address(struct filtering *f, struct slice text, const char *what)
{
    struct slice *addresses;
    size_t count = address_list_addresses(text, 0, f->t->arena, &addresses);
    if (count > 1)
        log_warning(SLICE_FORMAT ": %s: \"" SLICE_FORMAT "\"", SLICE_ARGS(f->t->queue_id), what, SLICE_ARGS(text));
    return count ? addresses[0] : (struct slice){0};
}

/* count_bytes - of addresses that stay in memory. */
static const char *count_bytes(struct filtering *f, struct slice address, struct slice parameters)
{
    breathe(f);
    f->recipient_bytes += address.len + parameters.len + 64;
    return f->recipient_bytes > FILTERING_RECIPIENTS_MAX ? TOO_BIG : NULL;
}

static const char *change_sender(void *context, struct slice address, struct slice parameters)
{
    struct filtering *f = context;
    struct transaction *t = f->t;
    struct envelope *e = &t->envelope;
    const char *problem = count_bytes(f, address, parameters);
    struct slice word;
    if (problem)
        return problem;
    e->sender = one_address(f, arena_slice(t->arena, address), "Milter request to add multi-sender");
    envelope_rewrite_sender(t);
    e->ret = 0;
    e->envelope_id = (struct slice){0};
    parameters = arena_slice(t->arena, parameters);
    while (slice_next_token(&parameters, " \t", &word)) {
        struct smtp_mail_parameters given = {0};
        enum smtp_reply_id failure;
        struct slice bad;
        bool known = slice_starts_case(word, SLICE("RET=")) || slice_starts_case(word, SLICE("ENVID="));
        if (!known || !smtp_mail_parameters(word, SMTP_ALLOW_DSN, t->arena, &given, &failure, &bad)) {
            log_warning("Ignoring bad ESMTP parameter \"" SLICE_FORMAT "\" in SMFI_CHGFROM request", SLICE_ARGS(word));
            continue;
        }
        e->ret = given.ret ? given.ret : e->ret;
        e->envelope_id = given.envid.len ? given.envid : e->envelope_id;
    }
    return t->refused ? refusal(f) : NULL;
}

/* take_recipient_parameters - NOTIFY and ORCPT. */
static void take_recipient_parameters(struct filtering *f, struct slice parameters, struct recipient *r)
{
    struct transaction *t = f->t;
    struct slice word, bad;
    while (slice_next_token(&parameters, " \t", &word)) {
        struct smtp_rcpt_parameters given = {0};
        enum smtp_reply_id failure;
        bool known = slice_starts_case(word, SLICE("NOTIFY=")) || slice_starts_case(word, SLICE("ORCPT="));
        if (!known) {
            log_warning(SLICE_FORMAT ": ignoring ESMTP argument from Milter or header/body_checks: \"" SLICE_FORMAT "\"",
                        SLICE_ARGS(t->queue_id), SLICE_ARGS(word));
        } else if (!smtp_rcpt_parameters(word, SMTP_ALLOW_DSN, t->arena, &given, &failure, &bad)) {
            log_warning(SLICE_FORMAT ": Bad %s parameter from Milter or header/body_checks: \"" SLICE_FORMAT "\"", SLICE_ARGS(t->queue_id),
                        slice_starts_case(word, SLICE("NOTIFY=")) ? "NOTIFY" : "ORCPT", SLICE_ARGS(word));
        } else {
            r->notify = given.notify ? given.notify : r->notify;
            r->orcpt = given.has_orcpt ? given.orcpt : r->orcpt;
        }
    }
}

static const char *add_recipient(void *context, struct slice address, struct slice parameters)
{
    struct filtering *f = context;
    struct transaction *t = f->t;
    const char *problem = count_bytes(f, address, parameters);
    if (problem)
        return problem;
    struct recipient r = {.address = one_address(f, arena_slice(t->arena, address), "Milter or header/body_checks request to add multi-recipient")};
    if (r.address.len == 0) {
        log_warning(SLICE_FORMAT ": ignoring attempt from Milter to add null recipient", SLICE_ARGS(t->queue_id));
        return NULL;
    }
    take_recipient_parameters(f, arena_slice(t->arena, parameters), &r);
    recipients_add_later(t, r);
    return t->refused ? refusal(f) : NULL;
}

static const char *delete_recipient(void *context, struct slice address)
{
    struct filtering *f = context;
    recipients_delete(f->t, address);
    return count_edit(f);
}

static const char *quarantine(void *context, struct slice reason UNUSED)
{
    struct filtering *f = context;
    f->quarantined = true;
    return NULL;
}

const struct milter_editor filtering_editor = {
    .add_header = add_header, .insert_header = insert_header, .change_header = change_header, .replace_body = replace_body,
    .change_sender = change_sender, .add_recipient = add_recipient, .delete_recipient = delete_recipient, .quarantine = quarantine};
