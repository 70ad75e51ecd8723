/* pickup.h - from maildrop/ into the queue: local submission, also of what came while the system was down */
#ifndef POSTERN_QMGR_PICKUP_H
#define POSTERN_QMGR_PICKUP_H

#include "ipc/submit.h"
#include "queue/maildrop.h"
#include "service/service.h"

struct stat;

#define PICKUP_PARAMETERS(X)                                                                                            \
    X(STRING, myhostname) X(STRING, mail_name) X(STRING, content_filter) X(STRING, receive_override_options)            \
    X(INT, line_length_limit) X(BOOL, smtputf8_enable) X(STRING, cleanup_service_name)

struct pickup_params {
    CONFIG_MEMBERS(PICKUP_PARAMETERS)
};

struct pickup {
    struct pickup_params params;
    int submit_options; /* SUBMIT_ bits of receive_override_options, and SUBMIT_BOUNCE */
    struct submit_pool *pool;
};

/* ---- dropped.c: what a file says ---- */

/* A file's envelope, read before anything is sent to cleanup; the reader then stands at the content. */
struct dropped {
    struct arena *arena;
    struct envelope envelope;
    size_t recipient_room;
    bool has_sender;
    struct slice old_queue_id; /* of a file that was in Postfix's queue */
    /* attributes of the recipient to come */
    struct slice original, orcpt;
    int64_t notify;
    enum maildrop_phase phase;
    uint64_t records, jumps; /* so far: pointers must not go round for ever */
};
enum dropped_result { DROPPED_OK, DROPPED_MALFORMED };
/* dropped_envelope - read both envelope segments: the reader is sought over the content and back when it can be.  The reader is left at the first
   content record. */
enum dropped_result dropped_envelope(struct dropped *dropped, struct maildrop_reader *reader);
/* dropped_content - the rest of the content, piece by piece in wire form; MALFORMED when the file ends before X. */
enum dropped_result dropped_content(struct dropped *dropped, struct maildrop_reader *reader, void (*put)(void *context, struct slice data),
                                    void *context, int64_t *size);

/* ---- submit.c ---- */
enum pickup_result { PICKUP_DONE /* the file can go */, PICKUP_LATER, PICKUP_CORRUPT };
/* pickup_submit - one file.  Waits. */
enum pickup_result pickup_submit(const struct pickup *pickup, int fd, const struct stat *st);

/* ---- scan.c ---- */
/* pickup_scan - every complete file in maildrop/, several at once.  Waits. */
void pickup_scan(const struct pickup *pickup);

#endif
