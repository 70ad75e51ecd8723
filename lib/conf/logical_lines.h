/* logical_lines.h - the line rules that main.cf, master.cf, table sources and pattern files share (compat.md a.1) */
#ifndef POSTERN_CONF_LOGICAL_LINES_H
#define POSTERN_CONF_LOGICAL_LINES_H

#include "base/buffer.h"

struct logical_lines {
    struct slice rest;   /* text not read yet */
    int line_number;     /* of the next physical line */
    int first, last;     /* physical lines of the logical line just read */
    bool orphan;         /* the logical line just read starts with white space (no predecessor) */
};

void logical_lines_start(struct logical_lines *lines, struct slice text);
/* logical_lines_next - the next logical line into *line (cleared first): comments and blank lines dropped, continuations joined with
   their leading white space kept, trailing white space of the whole trimmed.  False at the end. */
bool logical_lines_next(struct logical_lines *lines, struct buffer *line);

#endif
