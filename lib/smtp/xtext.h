/* xtext.h - the xtext encoding of RFC 3461 4: "+" and two upper-case hexadecimal digits */
#ifndef POSTERN_SMTP_XTEXT_H
#define POSTERN_SMTP_XTEXT_H

#include "base/buffer.h"

/* xtext_encode - append; bytes outside "!".."~" and "+", "=" are encoded.  xtext_decode - append; false: not xtext (what was decoded
   before the fault stays in out). */
void xtext_encode(struct buffer *out, struct slice text);
bool xtext_decode(struct buffer *out, struct slice text) MUST_CHECK;

#endif
