/* parser.c - listing of the showq service */
#include "parser.h"

enum { WORD_MAX = 128 * 1024 };

/* Fields of a message or recipient, kept until it is complete. */
struct field {
    struct buffer value;
    bool there;
};

enum { QUEUE_NAME, QUEUE_ID, TIME, SIZE, FORCED_EXPIRE, SENDER, ATTEMPTS, LAST_ATTEMPT, NEXT_ATTEMPT, DESTINATION, ORIGINAL, RECIPIENT, REASON, STATUS,
       FIELDS };

static const struct slice field_names[FIELDS] = {
    SLICE("queue_name"), SLICE("queue_id"), SLICE("time"), SLICE("size"), SLICE("forced_expire"), SLICE("sender"),
    SLICE("attempts"), SLICE("last_attempt"), SLICE("next_attempt"), SLICE("destination"),
    SLICE("orig_recipient"), SLICE("recipient"), SLICE("reason"), SLICE("status")};

struct queue_parser {
    struct queue_handler handler;
    struct buffer word, name;
    struct field fields[FIELDS];
    bool has_name;      /* the next word is its value */
    bool announced;     /* message_begin was told to the handler */
    bool in_group;      /* something came since the last lone NUL */
    bool complete, failed;
};

struct queue_parser *queue_parser_new(const struct queue_handler *handler)
{
    struct queue_parser *p = memory_zalloc(1, sizeof(*p));
    p->handler = *handler;
    buffer_init(&p->word, WORD_MAX);
    return p;
}

void queue_parser_free(struct queue_parser *p)
{
    if (!p)
        return;
    for (int i = 0; i < FIELDS; i++)
        buffer_release(&p->fields[i].value);
    buffer_release(&p->word);
    buffer_release(&p->name);
    free(p);
}

bool queue_parser_is_complete(const struct queue_parser *p)
{
    return p->complete && !p->failed;
}

static struct slice field(const struct queue_parser *p, int which)
{
    return p->fields[which].there ? buffer_slice(&p->fields[which].value) : (struct slice){"", 0};
}

static bool number(const struct queue_parser *p, int which, int64_t *value)
{
    *value = 0;
    return !p->fields[which].there || (slice_to_i64(field(p, which), value) && *value >= 0);
}

static void forget(struct queue_parser *p, int from, int to)
{
    for (int i = from; i < to; i++)
        p->fields[i].there = false;
}

/* begin_message - once everything about the message itself is there: before its first recipient, or at its end. */
static bool begin_message(struct queue_parser *p)
{
    struct queue_message message = {.queue_name = field(p, QUEUE_NAME), .queue_id = field(p, QUEUE_ID), .sender = field(p, SENDER),
                                    .destination = field(p, DESTINATION)};
    int64_t expire;
    if (p->announced)
        return true;
    if (!number(p, TIME, &message.time) || !number(p, SIZE, &message.size) || !number(p, FORCED_EXPIRE, &expire) ||
        !number(p, ATTEMPTS, &message.attempts) || !number(p, LAST_ATTEMPT, &message.last_attempt) || !number(p, NEXT_ATTEMPT, &message.next_attempt))
        return false;
    message.forced_expire = expire != 0;
    p->announced = true;
    p->handler.message(p->handler.context, &message);
    return true;
}

/* end_recipient - hand over the one that was gathered, if any. */
static bool end_recipient(struct queue_parser *p)
{
    if (!p->fields[RECIPIENT].there)
        return true;
    if (!begin_message(p))
        return false;
    const struct queue_recipient recipient = {field(p, ORIGINAL), field(p, RECIPIENT), field(p, REASON), field(p, STATUS)};
    p->handler.recipient(p->handler.context, &recipient);
    forget(p, ORIGINAL, FIELDS);
    return true;
}

static bool end_group(struct queue_parser *p)
{
    if (!p->in_group) {
        p->complete = true;
        return true;
    }
    p->in_group = false;
    if (!p->fields[QUEUE_ID].there) { /* the announcement of the protocol */
        forget(p, 0, FIELDS);
        return true;
    }
    if (!end_recipient(p) || !begin_message(p))
        return false;
    p->handler.message_end(p->handler.context);
    p->announced = false;
    forget(p, 0, FIELDS);
    return true;
}

static bool take_value(struct queue_parser *p)
{
    for (int i = 0; i < FIELDS; i++) {
        if (!slice_equal(buffer_slice(&p->name), field_names[i]))
            continue;
        /* A field that is there already, or the original address of the next one, ends a recipient. */
        bool next = i >= ORIGINAL && (p->fields[i].there || (i == ORIGINAL && p->fields[RECIPIENT].there));
        if (next && !end_recipient(p))
            return false;
        buffer_clear(&p->fields[i].value);
        buffer_append_slice(&p->fields[i].value, buffer_slice(&p->word));
        p->fields[i].there = true;
        return true;
    }
    return true;
}

static bool take_word(struct queue_parser *p)
{
    bool ok = true;
    if (p->has_name) {
        p->has_name = false;
        ok = take_value(p);
    } else if (p->word.len == 0) {
        ok = end_group(p);
    } else {
        buffer_clear(&p->name);
        buffer_append_slice(&p->name, buffer_slice(&p->word));
        p->has_name = p->in_group = true;
    }
    buffer_clear(&p->word);
    return ok;
}

bool queue_parser_push(struct queue_parser *p, struct slice bytes)
{
    while (bytes.len && !p->failed && !p->complete) {
        size_t end = slice_find(bytes, '\0');
        p->failed = !buffer_append_slice(&p->word, slice_first(bytes, end));
        if (end == bytes.len)
            break;
        p->failed = p->failed || !take_word(p);
        bytes = slice_from(bytes, end + 1);
    }
    return !p->failed;
}
