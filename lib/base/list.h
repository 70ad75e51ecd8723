/* list.h - doubly linked list with the links inside the element */
#ifndef POSTERN_BASE_LIST_H
#define POSTERN_BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *next, *previous; /* a head points at itself when empty */
};

#define LIST_ENTRY(link, type, member) CONTAINER_OF(link, type, member)
/* LIST_EACH - walk; the element may be removed while walking. */
#define LIST_EACH(head, at) \
    for (struct list *at = (head)->next, *at##_next = at->next; at != (head); at = at##_next, at##_next = at->next)

static inline void list_init(struct list *head) { head->next = head->previous = head; }
static inline bool list_is_empty(const struct list *head) { return head->next == head; }
static inline void list_insert_between(struct list *link, struct list *previous, struct list *next)
{
    link->previous = previous;
    link->next = next;
    previous->next = link;
    next->previous = link;
}
static inline void list_append(struct list *head, struct list *link) { list_insert_between(link, head->previous, head); }
static inline void list_prepend(struct list *head, struct list *link) { list_insert_between(link, head, head->next); }
/* list_remove - take out; removing twice is harmless. */
static inline void list_remove(struct list *link)
{
    /* The analyzer does not see that nothing in a list points at an element that was taken out before. */
    link->previous->next = link->next; /* NOLINT(clang-analyzer-unix.Malloc) */
    link->next->previous = link->previous;
    list_init(link);
}

#endif
