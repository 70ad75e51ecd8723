/* record.h - what postlogd gets: "<priority>Mon DD HH:MM:SS tag[pid]: text", as a syslog socket would */
#ifndef POSTERN_MASTER_POSTLOGD_RECORD_H
#define POSTERN_MASTER_POSTLOGD_RECORD_H

#include "base/buffer.h"

/* record_to_line - the line for maillog_file (with host name and LF) in out, which is cleared.  Control characters become '?', what is too
   long is cut.  False: not such a record. */
bool record_to_line(struct slice record, const char *host, struct buffer *out);

#endif
