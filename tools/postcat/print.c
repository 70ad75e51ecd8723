/* print.c - show the records of a queue file */
#include "print.h"

#include "base/clock.h"
#include "queue/maildrop.h"

static const struct { char type; const char *name; } names[] = {
    {MAILDROP_SIZE, "message_size"}, {MAILDROP_TIME, "message_arrival_time"}, {MAILDROP_CREATED, "queue_file_create_time"},
    {MAILDROP_INSPECT, "content_inspector"}, {'L', "content_filter"}, {MAILDROP_SENDER, "sender"}, {MAILDROP_FULL_NAME, "sender_fullname"},
    {MAILDROP_DONE, "done_recipient"}, {MAILDROP_CANCELED, "canceled_recipient"}, {MAILDROP_RECIPIENT, "recipient"},
    {MAILDROP_ORIGINAL, "original_recipient"}, {MAILDROP_WARN, "warning_message_time"}, {MAILDROP_ATTRIBUTE, "named_attribute"},
    {MAILDROP_POINTER, "pointer_record"}, {MAILDROP_KILLED, "killed_record"}, {MAILDROP_LINE, "regular_text"}, {MAILDROP_PADDING, "padding"},
    {'r', "return_receipt"}, {'e', "errors_to"}, {'P', "priority"}, {MAILDROP_VERP, "verp_delimiters"}, {MAILDROP_REDIRECT, "redirect_to"},
    {'f', "flags"}, {'<', "dsn_return_flags"}, {MAILDROP_ENVID, "dsn_envelope_id"}, {'o', "dsn_original_recipient"},
    {MAILDROP_NOTIFY, "dsn_notify_flags"},
};

static const char *name_of(char type)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (names[i].type == type)
            return names[i].name;
    }
    return "unknown_record";
}

void print_begin(struct printer *printer, const struct print_options *options, const char *name)
{
    *printer = (struct printer){.options = options, .name = name};
}

/* fresh_line - before anything that is not the rest of a text line. */
static void fresh_line(struct printer *printer)
{
    if (printer->open_line)
        putchar('\n');
    printer->open_line = false;
}

static void title(struct printer *printer, const char *text)
{
    if (!printer->options->envelope)
        return;
    fresh_line(printer);
    printf("*** %s %s ***\n", text, printer->name);
}

static void prefix(const struct printer *printer, char type)
{
    if (printer->options->prefix)
        printf("%s: ", printer->name);
    if (printer->options->offset)
        printf("%9llu ", (unsigned long long)printer->offset);
    if (printer->options->decimal)
        printf("%3d ", (unsigned char)type);
}

static void put_slice(struct slice s)
{
    fwrite(s.data ? s.data : "", 1, s.len, stdout);
}

/* put_time - of a number of seconds at the start of the data. */
static void put_time(struct slice data)
{
    struct slice head, tail;
    int64_t seconds;
    slice_cut(slice_trim(data), ' ', &head, &tail);
    if (!slice_to_i64(head, &seconds) || seconds < 0 || seconds > INT64_MAX / MICROSECONDS) {
        put_slice(data);
        return;
    }
    struct buffer text = BUFFER_INIT;
    clock_asctime(&text, seconds * MICROSECONDS);
    put_slice(buffer_slice(&text));
    buffer_release(&text);
}

static void print_field(struct printer *printer, char type, struct slice data)
{
    static const char created[] = "create_time=";
    if (!printer->options->envelope)
        return;
    fresh_line(printer);
    prefix(printer, type);
    if (type == MAILDROP_ATTRIBUTE && slice_starts(data, slice_of(created))) {
        printf("create_time: ");
        put_time(slice_from(data, sizeof(created) - 1));
    } else {
        printf("%s: ", name_of(type));
        if (type == MAILDROP_TIME || type == MAILDROP_CREATED)
            put_time(data);
        else
            put_slice(data);
    }
    putchar('\n');
}

static void print_text(struct printer *printer, char type, struct slice data)
{
    if (!printer->in_body && !printer->open_line && type == MAILDROP_LINE && data.len == 0)
        printer->in_body = true;
    if (printer->in_body ? !printer->options->body : !printer->options->header)
        return;
    if (!printer->open_line)
        prefix(printer, type);
    put_slice(data);
    printer->open_line = type == MAILDROP_UNFINISHED;
    if (!printer->open_line)
        putchar('\n');
}

static size_t length_bytes(size_t len)
{
    size_t n = 1;
    for (; len > 0x7f; len >>= 7)
        n++;
    return n;
}

static void next_part(struct printer *printer, char type)
{
    static const struct { char type; int part; const char *title; } parts[] = {
        {MAILDROP_CONTENT_BEGINS, PRINT_CONTENT, "MESSAGE CONTENTS"},
        {MAILDROP_CONTENT_ENDS, PRINT_EXTRACTED, "HEADER EXTRACTED"},
        {MAILDROP_END, PRINT_END, "MESSAGE FILE END"},
    };
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i].type == type) {
            printer->part = parts[i].part;
            title(printer, parts[i].title);
        }
    }
}

void print_record(struct printer *printer, char type, struct slice data)
{
    if (!printer->began)
        title(printer, "ENVELOPE RECORDS");
    printer->began = true;
    if (type == MAILDROP_CONTENT_BEGINS || type == MAILDROP_CONTENT_ENDS || type == MAILDROP_END)
        next_part(printer, type);
    else if (printer->part == PRINT_CONTENT && (type == MAILDROP_LINE || type == MAILDROP_UNFINISHED))
        print_text(printer, type, data);
    else
        print_field(printer, type, data);
    printer->offset += 1 + length_bytes(data.len) + data.len;
}
