/* text.h - bytes of the client made fit for a log line, or for a key of the store */
#ifndef POSTERN_SMTPD_TEXT_H
#define POSTERN_SMTPD_TEXT_H

#include "base/buffer.h"

/* text_escape - append at most max bytes of text, with what is not printable ASCII as in C: "\r\n", "\001". */
void text_escape(struct buffer *out, struct slice text, size_t max);
/* text_hash - append the first bytes (at most 32) of its SHA-256 in hexadecimal: for what is too long, or not for everybody's eyes. */
void text_hash(struct buffer *out, struct slice text, size_t bytes);

#endif
