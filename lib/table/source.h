/* source.h - the text that postmap and texthash read: "key whitespace value" (compat.md c.3) */
#ifndef POSTERN_TABLE_SOURCE_H
#define POSTERN_TABLE_SOURCE_H

#include "base/buffer.h"
#include "conf/logical_lines.h"

struct table_source {
    const char *file; /* for messages */
    bool utf8;        /* smtputf8_enable: warn of text that is not UTF-8 */
    size_t bad;       /* lines that were skipped with a warning */
    struct logical_lines lines;
    struct buffer line;
};

void table_source_start(struct table_source *source, const char *file, struct slice text, bool utf8);
/* table_source_next - the next entry: views into the source's line; what cannot be used is skipped with a warning.  The key is as
   written (quotes kept, not folded).  False at the end; then the source holds no memory.
   table_source_line - the logical line only, for other syntaxes. */
bool table_source_next(struct table_source *source, struct slice *key, struct slice *value);
bool table_source_line(struct table_source *source, struct slice *line);
void table_source_end(struct table_source *source);

#endif
