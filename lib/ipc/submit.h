/* submit.h - client stub of cleanup: the only way into the queue (smtpd, pickup, bounce, local) */
#ifndef POSTERN_IPC_SUBMIT_H
#define POSTERN_IPC_SUBMIT_H

#include "ipc/lane.h"

struct submit_pool; /* idle lanes to cleanup, shared by the fibers of one process */
struct submission;  /* one transaction */

/* submit_pool_new - path of cleanup's socket ("public/cleanup"). */
struct submit_pool *submit_pool_new(const char *path) MUST_CHECK;
void submit_pool_free(struct submit_pool *pool);

struct submit_outcome {
    int status;          /* SUBMIT_STATUS_ value; TEMPORARY also when the lane broke */
    int reply_code;      /* when not accepted */
    struct slice reply;  /* text with enhanced code; memory of the arena */
    bool lost;           /* cleanup did not answer: how far it came is not known */
};

/* submit_open - start a transaction: an idle lane, or a new one.  The queue id is known at once (reserved ahead on the lane).
   NULL when cleanup cannot be reached (errno).  Waits. */
struct submission *submit_open(struct submit_pool *pool, int64_t deadline) MUST_CHECK;
struct slice submit_queue_id(const struct submission *s);
/* submit_envelope - once, before content; queue_id and recipients included (all are known at DATA).  submit_content - append content in wire form
   (CRLF, not dot-stuffed).  Errors are sticky and show in submit_finish.  Wait when much is unsent. */
void submit_envelope(struct submission *s, const struct envelope *envelope, int options);
/* submit_milter - before the envelope: a filter's connection that cleanup goes on with (milters_hand_over).  fd stays the caller's and must stay open until
   submit_finish or submit_cancel. */
void submit_milter(struct submission *s, const struct submit_milter *milter, int fd);
void submit_content(struct submission *s, struct slice data);
/* submit_decide - what became clear only after submit_envelope (decisions->message_size is not looked at); the memory must stay until
   submit_finish. */
void submit_decide(struct submission *s, const struct submit_end *decisions);
/* submit_finish - end of content; waits until the message is durable or refused; frees the submission.  message_size as logged.  Waits. */
void submit_finish(struct submission *s, int64_t message_size, struct arena *arena, struct submit_outcome *outcome, int64_t deadline);
/* submit_cancel - drop the transaction and free it (NULL is fine).  Waits (a second at most). */
void submit_cancel(struct submission *s);

#endif
