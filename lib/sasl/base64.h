/* base64.h - base64 as AUTH and its back ends use it (RFC 4648 4): one line, padded, nothing else */
#ifndef POSTERN_SASL_BASE64_H
#define POSTERN_SASL_BASE64_H

#include "base/buffer.h"

/* base64_encode - append the encoding of data. */
void base64_encode(struct buffer *out, struct slice data);
/* base64_decode - append the bytes that text stands for (out may be NULL: only look).  False: not base64: a foreign byte, wrong or missing padding, or bits that
   no encoder sets; out may have got a part then. */
bool base64_decode(struct slice text, struct buffer *out) MUST_CHECK;

#endif
