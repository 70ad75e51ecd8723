/* verb.h - what the verbs of postsuper (QUEUE_CONTROL_DELETE to _EXPIRE) do to messages of the index: for qmgr, and for the command itself while
   the mail system is down */
#ifndef POSTERN_QUEUE_VERB_H
#define POSTERN_QUEUE_VERB_H

#include "queue/store.h"

/* queue_verb_applies - to messages of that queue. */
bool queue_verb_applies(int64_t verb, enum index_queue queue);
/* queue_verb_change - what it changes in their entries (for index_change_some); what becomes due is due now. */
struct index_change queue_verb_change(int64_t verb, enum index_queue queue);
/* queue_verb_mark - the record in the segment is to say the same as the entry, which is only a cache.  False: could not be marked (logged). */
bool queue_verb_mark(struct store *store, int64_t verb, const struct queue_place *place);
/* queue_verb_do - both for one entry, which is changed too.  False: it does not apply, or could not be done. */
bool queue_verb_do(struct store *store, int64_t verb, struct index_entry *entry);

#endif
