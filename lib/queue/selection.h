/* selection.h - which messages of the queue: one set of conditions for postqueue, postsuper and qmgr

   Declared once: struct queue_selection (messages.def) travels to qmgr, which looks at its messages one by one; tools that read the queue
   themselves, while the system is down, use the same functions. */
#ifndef POSTERN_QUEUE_SELECTION_H
#define POSTERN_QUEUE_SELECTION_H

#include "queue/index.h"

/* A message as a selection sees it: what the index has, or what would be there. */
struct queue_item {
    const char *queue; /* "maildrop", "active", "incoming", "deferred", "hold" */
    struct index_entry entry;
    bool has_sasl_user; /* sasl_user is known: else it is asked for */
    struct slice sasl_user;
};

/* Asked when a selection has --sasl-user and the item does not know it: reads the record.  May wait. */
typedef struct slice (*queue_sasl_lookup)(void *context, const struct index_entry *entry);

struct selection;

/* selection_new - NULL with *why (heap) when the regular expression or a queue's name is wrong.  The request may go away afterwards.
   selection_fits - false too once the limit is reached (what fits is counted).  Waits only if lookup does. */
struct selection *selection_new(const struct queue_selection *request, char **why) MUST_CHECK;
void selection_free(struct selection *selection);
bool selection_fits(struct selection *selection, const struct queue_item *item, queue_sasl_lookup lookup, void *context);
/* selection_wants_queue - whether to look there at all.  selection_is_full - the limit is reached. */
bool selection_wants_queue(const struct selection *selection, const char *queue);
bool selection_is_full(const struct selection *selection);
/* selection_is_given - a request that leaves anything out. */
bool selection_is_given(const struct queue_selection *request);

/* Command line: the long options that postqueue and postsuper share; to be put into the array for getopt_long.
   selection_option - take one (letter: what getopt_long returned); false: it is none of these.  Fatal when its argument is wrong. */
enum { SELECTION_OPTION_FIRST = 1000 };
#define SELECTION_OPTIONS \
    {"sender", 1, NULL, SELECTION_OPTION_FIRST}, {"recipient", 1, NULL, SELECTION_OPTION_FIRST + 1}, \
    {"domain", 1, NULL, SELECTION_OPTION_FIRST + 2}, {"older-than", 1, NULL, SELECTION_OPTION_FIRST + 3}, \
    {"newer-than", 1, NULL, SELECTION_OPTION_FIRST + 4}, {"reason", 1, NULL, SELECTION_OPTION_FIRST + 5}, \
    {"size", 1, NULL, SELECTION_OPTION_FIRST + 6}, {"queue", 1, NULL, SELECTION_OPTION_FIRST + 7}, \
    {"limit", 1, NULL, SELECTION_OPTION_FIRST + 8}, {"sasl-user", 1, NULL, SELECTION_OPTION_FIRST + 9}
#define SELECTION_HELP \
    "Selections, all of which must fit:\n" \
    "  --sender address   <> is the null sender\n" \
    "  --recipient address\n" \
    "  --domain name      of a recipient\n" \
    "  --reason regex     of the last attempt for a recipient\n" \
    "  --sasl-user name   who was logged in when it came\n" \
    "  --older-than time  30, 5m, 2h, 3d, 1w\n" \
    "  --newer-than time\n" \
    "  --size [+|-]size   at least (+, the default) or at most (-) so many bytes; 10k, 5m, 1g\n" \
    "  --queue name       maildrop, incoming, active, deferred, hold; may be repeated\n" \
    "  --limit number     no more messages than that\n"
bool selection_option(struct queue_selection *request, int letter, const char *argument);
/* selection_group_kind - QUEUE_GROUP_ bit of "domain", "sender", "reason", "nexthop", ...; 0: unknown. */
int selection_group_kind(const char *name);

#endif
