/* sender_check.h - local_login_sender_maps: which sender addresses a login may use */
#ifndef POSTERN_TOOLS_POSTDROP_SENDER_CHECK_H
#define POSTERN_TOOLS_POSTDROP_SENDER_CHECK_H

#include "conf/config.h"
#include "filter.h"

/* sender_check - sets FILTER_DENIED with a reason when the caller may not use filter->sender. */
void sender_check(struct config *config, struct filter *filter);
/* sender_matches - is the sender in the list of patterns "*", "<>", "@domain", "user@domain", "user"? (test seam) */
bool sender_matches(struct slice patterns, struct slice sender, const char *null_key);

#endif
