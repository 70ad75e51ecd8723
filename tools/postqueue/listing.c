/* listing.c - the forms of the queue listing */
#include "listing.h"

#include <time.h>

enum { REASON_COLUMN = 76 };

#define HEADING_SHORT "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
#define HEADING_LONG "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"

void listing_init(struct listing *l, FILE *out, bool long_ids)
{
    *l = (struct listing){.out = out, .long_ids = long_ids};
}

void listing_release(struct listing *l)
{
    buffer_release(&l->reason);
    buffer_release(&l->rest);
}

/* ---- for people --------------------------------------------------------------------------------------------------- */

static const char *columns(const struct listing *l)
{
    return l->long_ids ? "%-17s %8s %-19s %.*s\n" : "%-11s %7s %-20s %.*s\n";
}

/* put_clean - a terminal is not to be driven by what somebody wrote into a message. */
static struct slice clean(struct slice text, struct buffer *copy)
{
    buffer_clear(copy);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        buffer_append_byte(copy, byte < 32 || byte == 127 ? '?' : (char)byte);
    }
    return buffer_slice(copy);
}

static const char *queue_mark(struct slice queue)
{
    return slice_equal(queue, SLICE("active")) ? "*" : slice_equal(queue, SLICE("hold")) ? "!" : "";
}

static void text_message(void *context, const struct queue_message *m)
{
    struct listing *l = context;
    struct buffer sender = BUFFER_INIT;
    char id[64], size[32], when[32];
    time_t seconds = (time_t)m->time;
    struct tm parts = {0};
    localtime_r(&seconds, &parts);
    if (l->messages++ == 0)
        fputs(l->long_ids ? HEADING_LONG : HEADING_SHORT, l->out);
    else
        putc('\n', l->out);
    snprintf(id, sizeof(id), SLICE_FORMAT "%s%s", SLICE_ARGS(slice_first(m->queue_id, 40)), queue_mark(m->queue_name),
             m->forced_expire ? "#" : "");
    snprintf(size, sizeof(size), "%lld", (long long)m->size);
    strftime(when, sizeof(when), l->long_ids ? "%a %b %e %H:%M:%S" : "%a %b %e %H:%M:%S ", &parts);
    struct slice from = clean(m->sender, &sender);
    fprintf(l->out, columns(l), id, size, when, SLICE_ARGS(from));
    buffer_release(&sender);
    l->bytes += (uint64_t)m->size;
    l->has_reason = false;
    buffer_clear(&l->reason);
}

static void put_reason(struct listing *l, struct slice reason)
{
    int width = reason.len < REASON_COLUMN ? REASON_COLUMN - (int)reason.len : 0;
    fprintf(l->out, "%*s(" SLICE_FORMAT ")\n", width, "", SLICE_ARGS(reason));
}

static void text_recipient(void *context, const struct queue_recipient *recipient)
{
    struct listing *l = context;
    struct buffer copy = BUFFER_INIT;
    struct slice why = clean(recipient->reason, &copy);
    if (why.len && !(l->has_reason && slice_equal(why, buffer_slice(&l->reason)))) {
        put_reason(l, why);
        buffer_clear(&l->reason);
        buffer_append_slice(&l->reason, why);
    } else if (why.len == 0 && l->has_reason) {
        put_reason(l, SLICE("reason unavailable"));
    }
    l->has_reason = why.len > 0;
    struct slice to = clean(recipient->address, &copy);
    fprintf(l->out, columns(l), "", "", "", SLICE_ARGS(to));
    buffer_release(&copy);
}

static void text_message_end(void *context UNUSED)
{
}

struct queue_handler listing_text(struct listing *l)
{
    return (struct queue_handler){.message = text_message, .recipient = text_recipient, .message_end = text_message_end, .context = l};
}

void listing_text_end(struct listing *l)
{
    if (l->messages == 0)
        fputs("Mail queue is empty\n", l->out);
    else
        fprintf(l->out, "\n-- %llu Kbytes in %llu Request%s.\n", (unsigned long long)(l->bytes / 1024), (unsigned long long)l->messages,
                l->messages == 1 ? "" : "s");
}

/* ---- for programs ------------------------------------------------------------------------------------------------- */

static void put_escaped(FILE *out, unsigned char byte)
{
    static const char letters[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    const char *pair = NULL;
    for (size_t i = 0; i + 1 < sizeof(letters) - 1 && !pair; i += 2)
        pair = letters[i] == (char)byte ? letters + i : NULL;
    if (pair)
        fprintf(out, "\\%c", pair[1]);
    else if (byte < 32 || byte == 127)
        fprintf(out, "\\u%04X", byte);
    else
        putc(byte, out);
}

/* put_string - a JSON string; what is not UTF-8 becomes '?' byte by byte. */
static void put_string(FILE *out, struct slice text)
{
    bool utf8 = slice_is_utf8(text);
    putc('"', out);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        put_escaped(out, byte > 127 && !utf8 ? '?' : byte);
    }
    putc('"', out);
}

static void put_member(FILE *out, const char *before, struct slice value)
{
    fputs(before, out);
    put_string(out, value);
}

/* keep_rest - what an extended listing says of a message besides. */
static void keep_rest(struct listing *l, const struct queue_message *m)
{
    struct slice transport, next_hop = {NULL, 0};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    buffer_clear(&l->rest);
    if (!out)
        return;
    slice_cut(m->destination, ':', &transport, &next_hop);
    fprintf(out, ", \"attempts\": %lld, \"last_attempt\": %lld, \"next_attempt\": %lld", (long long)m->attempts, (long long)m->last_attempt,
            (long long)m->next_attempt);
    put_member(out, ", \"transport\": ", transport);
    put_member(out, ", \"nexthop\": ", next_hop);
    fclose(out);
    buffer_append(&l->rest, text, len);
    free(text);
}

static void json_message(void *context, const struct queue_message *m)
{
    struct listing *l = context;
    put_member(l->out, "{\"queue_name\": ", m->queue_name);
    put_member(l->out, ", \"queue_id\": ", m->queue_id);
    fprintf(l->out, ", \"arrival_time\": %lld, \"message_size\": %lld, \"forced_expire\": %s", (long long)m->time, (long long)m->size,
            m->forced_expire ? "true" : "false");
    put_member(l->out, ", \"sender\": ", m->sender);
    fputs(", \"recipients\": [", l->out);
    l->recipients = 0;
    if (l->extended)
        keep_rest(l, m);
}

static void json_recipient(void *context, const struct queue_recipient *r)
{
    struct listing *l = context;
    fputs(l->recipients++ ? ", {" : "{", l->out);
    if (l->extended) {
        put_member(l->out, "\"orig_address\": ", r->original);
        fputs(", ", l->out);
    }
    put_member(l->out, "\"address\": ", r->address);
    if (r->reason.len)
        put_member(l->out, ", \"delay_reason\": ", r->reason);
    if (l->extended && r->status.len)
        put_member(l->out, ", \"status\": ", r->status);
    putc('}', l->out);
}

static void json_message_end(void *context)
{
    const struct listing *l = context;
    fprintf(l->out, "]%s}\n", buffer_string(&l->rest));
}

struct queue_handler listing_json(struct listing *l, bool extended)
{
    l->extended = extended;
    return (struct queue_handler){.message = json_message, .recipient = json_recipient, .message_end = json_message_end, .context = l};
}
