/* maildrop.h - the record format of files in maildrop/ (and of Postfix's queue files): compat.md k.4

   record = type (1 byte), length (7 bits a byte, least significant first, at most 5 bytes), data.  A file is: envelope records, M, content
   records (N a line, L a line that goes on), X, extracted records, E.  postdrop writes such files, pickup reads them: both treat what is in
   them as coming from outside. */
#ifndef POSTERN_QUEUE_MAILDROP_H
#define POSTERN_QUEUE_MAILDROP_H

#include "base/buffer.h"

enum {
    MAILDROP_SIZE = 'C', MAILDROP_TIME = 'T', MAILDROP_CREATED = 'c', MAILDROP_FULL_NAME = 'F', MAILDROP_SENDER = 'S', MAILDROP_RECIPIENT = 'R',
    MAILDROP_DONE = 'D', MAILDROP_CANCELED = '/', MAILDROP_ORIGINAL = 'O', MAILDROP_ATTRIBUTE = 'A', MAILDROP_WARN = 'W', MAILDROP_INSPECT = 'I',
    MAILDROP_UNFINISHED = 'L', MAILDROP_LINE = 'N', MAILDROP_REDIRECT = '>', MAILDROP_VERP = 'V', MAILDROP_KILLED = 'K', MAILDROP_POINTER = 'p',
    MAILDROP_PADDING = 'w', MAILDROP_ENVID = 'i', MAILDROP_NOTIFY = 'n',
    MAILDROP_CONTENT_BEGINS = 'M', MAILDROP_CONTENT_ENDS = 'X', MAILDROP_END = 'E'
};
#define MAILDROP_RECORD_MAX (1u << 20) /* a longer record is malformed */

/* A.trace_flags values */
enum { MAILDROP_TRACE_VERIFY = 512, MAILDROP_TRACE_REPORT = 1024 };

/* maildrop_put - append one record. */
void maildrop_put(struct buffer *out, char type, struct slice data);
void maildrop_put_text(struct buffer *out, char type, const char *format, ...) PRINTF_LIKE(3, 4);

enum maildrop_result { MAILDROP_RECORD, MAILDROP_NO_MORE, MAILDROP_MALFORMED };

/* Reading, from a file (a piece at a time) or from memory. */
struct maildrop_reader {
    int fd; /* -1: all is in the buffer */
    struct buffer buffer;
    size_t at;
    bool file_ended;
};
void maildrop_reader_open(struct maildrop_reader *reader, int fd);
void maildrop_reader_memory(struct maildrop_reader *reader, struct slice data);
void maildrop_reader_release(struct maildrop_reader *reader);
/* maildrop_read - the next record; data is valid until the next call.  NO_MORE: clean end of input; MALFORMED: bad length, cut off, or the file
   cannot be read (errno). */
enum maildrop_result maildrop_read(struct maildrop_reader *reader, char *type, struct slice *data);
/* maildrop_seek - go on at that offset of the file (pointer records); false when it cannot. */
bool maildrop_seek(struct maildrop_reader *reader, int64_t offset);

/* Which records may come where. */
enum maildrop_phase { MAILDROP_ENVELOPE, MAILDROP_CONTENT, MAILDROP_EXTRACTED, MAILDROP_COMPLETE };
/* maildrop_step - may a record of that type come in this phase?  Moves the phase on at M, X and E.  strict: what a user's program may
   write; else also what Postfix writes into its queue files. */
bool maildrop_step(enum maildrop_phase *phase, char type, bool strict);

/* maildrop_attribute - split "name=value"; false when there is no "=". */
bool maildrop_attribute(struct slice data, struct slice *name, struct slice *value);

#endif
