/* print.h - show the records of a queue file (compat.md j.6) */
#ifndef POSTERN_TOOLS_POSTCAT_PRINT_H
#define POSTERN_TOOLS_POSTCAT_PRINT_H

#include "base/slice.h"

struct print_options {
    bool envelope, header, body; /* what is shown */
    bool decimal, offset, prefix;
};

struct printer {
    const struct print_options *options;
    const char *name; /* of the file, for the titles */
    enum { PRINT_ENVELOPE, PRINT_CONTENT, PRINT_EXTRACTED, PRINT_END } part;
    bool began;       /* a title was printed */
    bool in_body;     /* behind the empty line */
    bool open_line;   /* the text so far lacks its line end */
    uint64_t offset;  /* of the next record */
};

void print_begin(struct printer *printer, const struct print_options *options, const char *name);
/* print_record - one record, in the order of the file. */
void print_record(struct printer *printer, char type, struct slice data);

#endif
