/* drop_file.h - one file in maildrop/ while it is being written (compat.md k.2, k.3) */
#ifndef POSTERN_TOOLS_POSTDROP_DROP_FILE_H
#define POSTERN_TOOLS_POSTDROP_DROP_FILE_H

#include "base/slice.h"

struct drop_file;

/* drop_file_create - a fresh file with mode 0600, which pickup leaves alone; fatal when it cannot be made.  It is removed when a signal ends
   the program. */
struct drop_file *drop_file_create(void);
const char *drop_file_id(const struct drop_file *file);
/* drop_file_write - buffered; sticky error, seen by drop_file_complete. */
void drop_file_write(struct drop_file *file, struct slice data);
/* drop_file_complete - on disk, then visible for pickup; false with errno.  drop_file_cancel - as if it had never been. */
bool drop_file_complete(struct drop_file *file);
void drop_file_cancel(struct drop_file *file);

#endif
