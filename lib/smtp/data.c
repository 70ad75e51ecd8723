/* data.c - receiving message content (RFC 5321 4.5.2; line ends: compat.md d.9, d.10) */
#include "smtp/data.h"

/* The piece at work: content from run on has not been passed on yet and needs no change. */
struct feed {
    struct smtp_data *data;
    const char *run, *at, *end;
    smtp_data_sink *sink;
    void *context;
};

void smtp_data_init(struct smtp_data *data, bool stuffed, bool strict)
{
    *data = (struct smtp_data){.stuffed = stuffed, .strict = strict};
}

/* pass - the run up to where; the next run begins at next. */
static void pass(struct feed *f, const char *where, const char *next)
{
    if (where > f->run)
        f->sink(f->context, slice_make(f->run, (size_t)(where - f->run)));
    f->run = next;
}

static void pass_literal(struct feed *f, const char *text, size_t len)
{
    f->sink(f->context, slice_make(text, len));
}

/* release_crs - CRs that were held turn out to be data, but for those that are kept: the one before an LF. */
static void release_crs(struct feed *f, size_t kept)
{
    for (; f->data->held_crs > kept; f->data->held_crs--) {
        pass_literal(f, "\r", 1);
        f->data->line_size++;
    }
}

static void end_line(struct smtp_data *d, bool bare)
{
    d->lines_size += d->line_size + 2;
    d->line_size = 0;
    d->in_line = d->after_dot = false;
    d->held_crs = 0;
    d->previous_bare = bare;
    d->bare_lf |= bare;
}

/* dot_line - the LF of a line that is "." and CRs.  True: the message ends here. */
static bool dot_line(struct feed *f)
{
    struct smtp_data *d = f->data;
    bool bare = d->held_crs == 0, was_bare = d->previous_bare;

    d->bare_lf |= bare;
    if (!d->strict || (d->held_crs == 1 && !was_bare)) {
        d->in_line = d->after_dot = false;
        d->held_crs = 0;
        return true;
    }
    if (d->held_crs <= 1) {
        /* Smuggling (RFC 5321 4.1.1.4: only CRLF "." CRLF): neither an end nor content that a server after us could take for one. */
        int64_t lines = d->lines_size;
        end_line(d, bare);
        d->lines_size = lines;
    } else {
        release_crs(f, 1);
        pass_literal(f, "\r\n", 2);
        end_line(d, false);
    }
    return false;
}

/* after_dot - a byte after the first dot of a line.  True: the message ends. */
static bool after_dot(struct feed *f)
{
    char byte = *f->at++;

    f->run = f->at;
    if (byte == '\r') {
        f->data->held_crs++;
        return false;
    }
    if (byte == '\n')
        return dot_line(f);
    f->data->after_dot = false;
    release_crs(f, 0);
    f->run = --f->at;
    return false;
}

/* line_end - the LF at lf ends the present line, which began before or at f->at. */
static void line_end(struct feed *f, const char *lf)
{
    struct smtp_data *d = f->data;
    bool has_cr = lf > f->at && lf[-1] == '\r';
    bool bare = lf > f->at ? !has_cr : d->held_crs == 0;

    release_crs(f, lf > f->at || bare ? 0 : 1);
    d->line_size += lf - f->at - has_cr;
    if (!has_cr) {
        /* The CR came in an earlier piece, or not at all: the line end is made here. */
        pass(f, lf, lf + 1);
        pass_literal(f, "\r\n", 2);
    }
    f->at = lf + 1;
    end_line(d, bare);
}

/* rest_of_piece - no LF in sight: CRs at the end are held. */
static void rest_of_piece(struct feed *f)
{
    const char *text_end = f->end;

    while (text_end > f->at && text_end[-1] == '\r')
        text_end--;
    if (text_end > f->at)
        release_crs(f, 0);
    f->data->line_size += text_end - f->at;
    pass(f, text_end, f->end);
    f->data->held_crs += (size_t)(f->end - text_end);
    f->at = f->end;
}

size_t smtp_data_feed(struct smtp_data *data, struct slice input, smtp_data_sink *sink, void *context, bool *end)
{
    struct feed f = {data, input.data, input.data, input.data + input.len, sink, context};

    *end = false;
    while (f.at < f.end && !*end) {
        if (data->after_dot) {
            *end = after_dot(&f);
            continue;
        }
        if (!data->in_line && data->stuffed && *f.at == '.') {
            pass(&f, f.at, f.at + 1);
            f.at++;
            data->in_line = data->after_dot = true;
            continue;
        }
        data->in_line = true;
        const char *lf = memchr(f.at, '\n', (size_t)(f.end - f.at));
        if (lf)
            line_end(&f, lf);
        else
            rest_of_piece(&f);
    }
    pass(&f, f.at, f.at);
    return (size_t)(f.at - input.data);
}

void smtp_data_finish(struct smtp_data *data, smtp_data_sink *sink, void *context)
{
    struct feed f = {data, NULL, NULL, NULL, sink, context};

    if (data->line_size == 0 && data->held_crs == 0)
        return;
    if (data->held_crs != 1) /* one CR: the line end that was begun */
        release_crs(&f, 0);
    pass_literal(&f, "\r\n", 2);
    end_line(data, false);
}
