/* findings.c - the table of findings.def */
#include "conf/check.h"

static const struct {
    const char *name, *why, *mend;
} rows[] = {
#define FINDING(kind, name, why, mend) {name, why, mend},
#include "conf/findings.def"
#undef FINDING
};

const char *finding_name(enum finding_kind kind)
{
    return rows[kind].name;
}

const char *finding_why(enum finding_kind kind)
{
    return rows[kind].why;
}

static void append_word(const struct finding *finding, struct slice word, struct buffer *out)
{
    if (slice_equal(word, SLICE("subject")))
        buffer_append_string(out, finding->subject != NULL ? finding->subject : "it");
    else if (slice_equal(word, SLICE("file")))
        buffer_append_string(out, finding->file != NULL ? finding->file : "main.cf");
    else if (slice_equal(word, SLICE("line")))
        buffer_printf(out, "%d", finding->line);
}

void finding_mend(const struct finding *finding, struct buffer *out)
{
    struct slice rest = slice_of(rows[finding->kind].mend), text, word;
    while (slice_cut(rest, '{', &text, &rest)) {
        buffer_append_slice(out, text);
        slice_cut(rest, '}', &word, &rest);
        append_word(finding, word, out);
    }
    buffer_append_slice(out, text);
}
