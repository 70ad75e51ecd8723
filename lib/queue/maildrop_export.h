/* maildrop_export.h - a message of the queue as the records of a Postfix queue file: what postcat shows, what is put back into maildrop/ */
#ifndef POSTERN_QUEUE_MAILDROP_EXPORT_H
#define POSTERN_QUEUE_MAILDROP_EXPORT_H

#include "queue/maildrop.h"
#include "queue/segment.h"

enum { MAILDROP_EXPORT_LINE_MAX = 2048 }; /* longer lines are cut into unfinished records */

/* maildrop_export - calls put() for each record, in the order of the SMTP path (compat.md k.6), content lines included; data is valid during the
   call.  content_fd: file that record->place means.  False when the content cannot be read (errno).  Blocks. */
bool maildrop_export(const struct queue_record *record, int content_fd, void (*put)(void *context, char type, struct slice data), void *context);

#endif
