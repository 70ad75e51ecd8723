/* selection.c - does a message fit the conditions */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "queue/selection.h"

#include "address/mail_address.h"

/* An expression that backtracks longer than this over a reason is given up: it does not fit. */
enum { MATCH_LIMIT = 20000, PATTERN_MAX = 1000 };

struct selection {
    struct arena *arena;
    struct queue_selection want;
    pcre2_code *reason;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    int64_t taken;
};

static const char *const queue_names[] = {"maildrop", "incoming", "active", "deferred", "hold"};

static bool names_are_known(struct slice names, char **why)
{
    struct slice name;
    while (slice_next_token(&names, " \t,", &name)) {
        size_t i = 0;
        while (i < COUNT_OF(queue_names) && !slice_equal(name, slice_of(queue_names[i])))
            i++;
        if (i == COUNT_OF(queue_names)) {
            struct buffer text = BUFFER_INIT_MAX(200);
            buffer_printf(&text, "unknown queue: %.*s", (int)slice_first(name, 50).len, name.data);
            *why = buffer_steal(&text);
            return false;
        }
    }
    return true;
}

static bool compile_reason(struct selection *s, char **why)
{
    int code;
    PCRE2_SIZE offset;
    struct slice pattern = s->want.reason;
    struct buffer text = BUFFER_INIT_MAX(400);
    if (pattern.len == 0)
        return true;
    if (pattern.len <= PATTERN_MAX)
        s->reason = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len, PCRE2_CASELESS, &code, &offset, NULL);
    if (!s->reason) {
        char problem[200] = "too long";
        if (pattern.len <= PATTERN_MAX)
            pcre2_get_error_message(code, (PCRE2_UCHAR *)problem, sizeof(problem));
        buffer_printf(&text, "bad regular expression for the reason: %s", problem);
        *why = buffer_steal(&text);
        return false;
    }
    s->match = pcre2_match_data_create(1, NULL);
    s->limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(s->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(s->limits, MATCH_LIMIT);
    return true;
}

struct selection *selection_new(const struct queue_selection *request, char **why)
{
    struct arena *arena = arena_new(0);
    struct selection *s = arena_alloc(arena, sizeof(*s));
    s->arena = arena;
    MESSAGE_COPY(queue_selection, request, arena, &s->want);
    if (names_are_known(s->want.queues, why) && compile_reason(s, why))
        return s;
    selection_free(s);
    return NULL;
}

void selection_free(struct selection *s)
{
    if (!s)
        return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    pcre2_code_free(s->reason);
    arena_free(s->arena);
}

bool selection_is_given(const struct queue_selection *r)
{
    return r->queues.len || r->sender.len || r->recipient.len || r->domain.len || r->reason.len || r->sasl_user.len || r->arrived_before ||
           r->arrived_after || r->size_least || r->size_most || r->limit;
}

bool selection_wants_queue(const struct selection *s, const char *queue)
{
    struct slice rest = s->want.queues, name;
    if (rest.len == 0)
        return true;
    while (slice_next_token(&rest, " \t,", &name)) {
        if (slice_equal(name, slice_of(queue)))
            return true;
    }
    return false;
}

bool selection_is_full(const struct selection *s)
{
    return s->want.limit > 0 && s->taken >= s->want.limit;
}

/* same_address - the domain without regard to case; the local part too: who selects mail does not think of the difference. */
static bool same_address(struct slice wanted, struct slice address)
{
    if (slice_equal(wanted, SLICE("<>")))
        return address.len == 0 || slice_equal_case(address, SLICE("MAILER-DAEMON"));
    return slice_equal_case(wanted, address);
}

static bool reason_fits(const struct selection *s, struct slice reason)
{
    return !s->reason || (reason.len && pcre2_match(s->reason, (PCRE2_SPTR)reason.data, reason.len, 0, 0, s->match, s->limits) >= 0);
}

static bool recipients_fit(const struct selection *s, const struct index_entry *entry)
{
    const struct queue_selection *w = &s->want;
    if (!w->recipient.len && !w->domain.len && !w->reason.len)
        return true;
    for (size_t i = 0; i < entry->recipient_count; i++) {
        const struct index_recipient *r = &entry->recipients[i];
        bool address = !w->recipient.len || same_address(w->recipient, r->address) || same_address(w->recipient, r->original);
        if (address && (!w->domain.len || slice_equal_case(w->domain, mail_address_domain(r->address))) && reason_fits(s, r->reason))
            return true;
    }
    return false;
}

bool selection_fits(struct selection *s, const struct queue_item *item, queue_sasl_lookup lookup, void *context)
{
    const struct queue_selection *w = &s->want;
    const struct index_entry *e = &item->entry;
    bool fits = !selection_is_full(s) && selection_wants_queue(s, item->queue) && (!w->sender.len || same_address(w->sender, e->sender)) &&
                (!w->arrived_before || e->arrival_time < w->arrived_before) && (!w->arrived_after || e->arrival_time > w->arrived_after) &&
                (!w->size_least || e->message_size >= w->size_least) && (!w->size_most || e->message_size <= w->size_most) &&
                recipients_fit(s, e);
    if (fits && w->sasl_user.len) {
        struct slice user = item->has_sasl_user || !lookup ? item->sasl_user : lookup(context, e);
        fits = slice_equal_case(w->sasl_user, user);
    }
    s->taken += fits;
    return fits;
}
