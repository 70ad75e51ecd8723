/* greylist.h - what greylisting remembers and decides, apart from sessions and the store */
#ifndef POSTERN_SMTPD_GREYLIST_H
#define POSTERN_SMTPD_GREYLIST_H

#include "base/buffer.h"

/* A triplet as it is remembered. */
struct greylist_entry {
    int64_t first; /* clock_wall of the first attempt; 0: there was none */
    bool passed;
};

/* greylist_key - append the name of a triplet: network, sender and recipient; what senders put into the local part for one message (numbers, an extension) is left
   out, the rest is folded to lower case.  What would be too long for the store becomes a hash. */
void greylist_key(struct slice network, struct slice sender, struct slice recipient, struct buffer *out);

/* greylist_parse - false: it is not ours (then *entry is as for none).  greylist_format - the other way. */
bool greylist_parse(struct slice text, struct greylist_entry *entry);
void greylist_format(const struct greylist_entry *entry, struct buffer *out);

/* A network that has passed before: how often, and the message (by its arrival) that was counted last, as several recipients of one message count once. */
struct greylist_client {
    int64_t count, last;
};
bool greylist_client_parse(struct slice text, struct greylist_client *client);
void greylist_client_format(const struct greylist_client *client, struct buffer *out);

/* greylist_reply - the text of the reply: "%s" in it becomes the seconds that are left, "%%" a "%". */
void greylist_reply(const char *text, int64_t left, struct buffer *out);

#endif
