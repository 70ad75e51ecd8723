/* mime.h - what the scanner needs of MIME fields (private to this room) */
#ifndef POSTERN_MESSAGE_MIME_H
#define POSTERN_MESSAGE_MIME_H

#include "base/buffer.h"

enum mime_type { MIME_TYPE_OTHER, MIME_TYPE_TEXT, MIME_TYPE_MULTIPART, MIME_TYPE_DIGEST, MIME_TYPE_MESSAGE, MIME_TYPE_RFC822,
                 MIME_TYPE_MESSAGE_ANY_ENCODING /* message/partial, message/global...: no encoding rules, not looked into */ };
enum mime_encoding { MIME_ENCODING_7BIT, MIME_ENCODING_8BIT, MIME_ENCODING_BINARY, MIME_ENCODING_OTHER };

/* mime_parse_type - value of a Content-Type field; *boundary gets the boundary (unquoted, cut at limit bytes) of a multipart. */
enum mime_type mime_parse_type(struct slice value, size_t limit, struct buffer *boundary);
enum mime_encoding mime_parse_encoding(struct slice value);

#endif
