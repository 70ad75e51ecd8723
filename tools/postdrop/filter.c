/* filter.c - check the records that come from the user's side */
#include "base/log.h"
#include "filter.h"

/* Attributes that a user's program may set; the others would speak for smtpd. */
static const struct {
    const char *name;
    const char *values; /* blank-separated; NULL: any */
} attributes[] = {
    {"encoding", "7bit 8bit"}, {"rewrite_context", "local remote"}, {"trace_flags", "512 1024"}, {"envelope_id", NULL},
    {"ret_flags", "0 1 2 3"},  {"notify_flags", NULL},              {"dsn_orig_rcpt", NULL},     {"create_time", NULL},
    {"requiretls", "yes"},
};

void filter_init(struct filter *filter, int64_t size_limit)
{
    *filter = (struct filter){.size_limit = size_limit};
}

void filter_release(struct filter *filter)
{
    buffer_release(&filter->sender);
    buffer_release(&filter->reason);
}

static bool value_allowed(const char *values, struct slice value)
{
    struct slice rest = slice_of(values), token;
    if (!values || value.len == 0)
        return true;
    while (slice_next_token(&rest, " ", &token)) {
        if (slice_equal(token, value))
            return true;
    }
    return false;
}

static bool attribute_allowed(struct slice data)
{
    struct slice name, value;
    if (!maildrop_attribute(data, &name, &value))
        return false;
    for (size_t i = 0; i < COUNT_OF(attributes); i++) {
        if (slice_equal(name, slice_of(attributes[i].name)))
            return value_allowed(attributes[i].values, value);
    }
    return false;
}

static bool has_line_break(struct slice data)
{
    return slice_find_any(data, "\r\n") < data.len || slice_find(data, '\0') < data.len;
}

bool filter_record(struct filter *filter, char type, struct slice data)
{
    bool in_content = filter->phase == MAILDROP_CONTENT;
    if (!maildrop_step(&filter->phase, type, true)) {
        log_warning("uid=%ld: unexpected record type: %d", (long)getuid(), (unsigned char)type);
        filter->status |= FILTER_BAD;
        return false;
    }
    if (in_content) {
        filter->size += (int64_t)data.len + (type == MAILDROP_LINE);
        if (filter->size_limit > 0 && filter->size > filter->size_limit)
            filter->status |= FILTER_SIZE;
        return !(filter->status & FILTER_SIZE);
    }
    if (has_line_break(data))
        log_fatal("uid=%ld: line break or NUL in %c record", (long)getuid(), type);
    if (type == MAILDROP_SENDER) {
        buffer_clear(&filter->sender);
        buffer_append_slice(&filter->sender, data);
        filter->has_sender = true;
    } else if (type == MAILDROP_RECIPIENT) {
        filter->recipients++;
    } else if (type == MAILDROP_ATTRIBUTE && !attribute_allowed(data)) {
        log_warning("uid=%ld: ignoring attribute record: " SLICE_FORMAT, (long)getuid(), SLICE_ARGS(slice_first(data, 200)));
        return false;
    } else if (type == MAILDROP_SIZE) {
        return false; /* made by who knows: pickup counts for itself */
    }
    return true;
}

void filter_copy(struct filter *filter, struct maildrop_reader *reader, struct drop_file *file)
{
    struct buffer record = BUFFER_INIT;
    char type;
    struct slice data;
    while (filter->phase != MAILDROP_COMPLETE && !(filter->status & FILTER_BAD)
           && maildrop_read(reader, &type, &data) == MAILDROP_RECORD) {
        if (!filter_record(filter, type, data))
            continue;
        buffer_clear(&record);
        maildrop_put(&record, type, data);
        drop_file_write(file, buffer_slice(&record));
    }
    buffer_release(&record);
    /* The caller may have given up half way: then this is no message. */
    if (filter->phase != MAILDROP_COMPLETE || !filter->has_sender || filter->recipients == 0)
        filter->status |= FILTER_BAD;
}

const char *filter_reason(const struct filter *filter)
{
    if (filter->status & FILTER_DENIED)
        return buffer_string(&filter->reason);
    if (filter->status & FILTER_SIZE)
        return "message file too big";
    if (filter->status & FILTER_BAD)
        return "malformed message";
    return filter->status & FILTER_WRITE ? "queue file write error" : "";
}
