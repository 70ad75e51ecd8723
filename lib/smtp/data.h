/* data.h - message content from the wire: line ends made CRLF, dots taken off, the end found; a pure function over pieces of any size

   What comes out is wire form: every line ends in CRLF (the last one of BDAT may lack it), leading dots of DATA are gone.  A CR that no LF
   follows stays, as do all but the last of several before an LF: who stores the message decides about it (cleanup_replace_stray_cr_lf). */
#ifndef POSTERN_SMTP_DATA_H
#define POSTERN_SMTP_DATA_H

#include "base/slice.h"

struct smtp_data {
    bool stuffed;       /* DATA: dots, and "." is the end; else BDAT */
    bool strict;        /* only <CR><LF>.<CR><LF> is the end (smtpd_forbid_bare_newline = normalize, yes, note, reject) */
    bool bare_lf;       /* out: a line ended in LF alone */
    /* state between pieces */
    bool in_line;       /* something of the present line was seen */
    bool after_dot;     /* ... a dot, and perhaps CRs */
    bool previous_bare; /* the line before ended in LF alone */
    size_t held_crs;    /* CRs not yet passed on */
    int64_t lines_size; /* bytes of complete lines, each line end counted as two */
    int64_t line_size;  /* bytes of the present line */
};

typedef void smtp_data_sink(void *context, struct slice content);

void smtp_data_init(struct smtp_data *data, bool stuffed, bool strict);
/* smtp_data_feed - take input; content goes to sink in pieces that are views of input or literals.  Returns how much was taken: all, or up to and
   including the line that ends the message: then *end is true.  */
size_t smtp_data_feed(struct smtp_data *data, struct slice input, smtp_data_sink *sink, void *context, bool *end);
/* smtp_data_finish - the last BDAT chunk is in: passes on what was held and ends an unfinished line. */
void smtp_data_finish(struct smtp_data *data, smtp_data_sink *sink, void *context);
/* smtp_data_size - bytes of content so far, in wire form. */
static inline int64_t smtp_data_size(const struct smtp_data *data) { return data->lines_size + data->line_size; }

#endif
