/* text.h - bytes of the client made fit for a log line */
#ifndef POSTERN_SMTPD_TEXT_H
#define POSTERN_SMTPD_TEXT_H

#include "base/buffer.h"

/* text_escape - append at most max bytes of text, with what is not printable ASCII as in C: "\r\n", "\001". */
void text_escape(struct buffer *out, struct slice text, size_t max);

#endif
