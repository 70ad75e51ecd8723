/* census.h - counts of messages and recipients by domain, sender, reason, next hop, queue, and by age, in bounded memory */
#ifndef POSTERN_QUEUE_CENSUS_H
#define POSTERN_QUEUE_CENSUS_H

#include "queue/selection.h"

enum { CENSUS_GROUPS_MAX = 100 * 1000 /* of all kinds; what comes after is counted as "(other)" */, CENSUS_AGES_MAX = 60 };

struct census;

/* census_new - what query says (group_by, age_columns, first_age, linear); now: microseconds since 1970. */
struct census *census_new(const struct queue_query *query, int64_t now) MUST_CHECK;
void census_free(struct census *census);
void census_add(struct census *census, const struct queue_item *item);
/* census_next - walk over the groups: start with *position = 0; the group's slices live as long as the census.  census_total - messages,
   recipients, bytes of all. */
bool census_next(struct census *census, size_t *position, struct queue_group *group);
void census_total(const struct census *census, struct queue_answer *answer);
/* census_age_bound - greatest age in minutes of a column that is not the last. */
uint64_t census_age_bound(const struct queue_query *query, unsigned column);

#endif
