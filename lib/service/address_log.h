/* address_log.h - mail addresses in log lines: as on the wire, or without quotes (info_log_address_format) */
#ifndef POSTERN_SERVICE_ADDRESS_LOG_H
#define POSTERN_SERVICE_ADDRESS_LOG_H

#include "base/buffer.h"

/* address_log_format - "external" (as it is at first) or "internal"; set where the log is. */
void address_log_format(const char *format);
/* address_log_append - " NAME=<ADDRESS>"; the address is in external form. */
void address_log_append(struct buffer *line, const char *name, struct slice address);

#endif
