/* ehlo_keywords.h - the keywords of an EHLO reply that can be told apart, and withheld or ignored by configuration */
#ifndef POSTERN_SMTP_EHLO_KEYWORDS_H
#define POSTERN_SMTP_EHLO_KEYWORDS_H

#include "base/slice.h"

enum {
    EHLO_8BITMIME = 1 << 0, EHLO_AUTH = 1 << 1, EHLO_ETRN = 1 << 2, EHLO_PIPELINING = 1 << 3, EHLO_SIZE = 1 << 4, EHLO_VERP = 1 << 5,
    EHLO_VRFY = 1 << 6, EHLO_XCLIENT = 1 << 7, EHLO_XFORWARD = 1 << 8, EHLO_STARTTLS = 1 << 9, EHLO_ENHANCED_STATUS = 1 << 10,
    EHLO_DSN = 1 << 11, EHLO_SMTPUTF8 = 1 << 12, EHLO_CHUNKING = 1 << 13, EHLO_REQUIRETLS = 1 << 14, EHLO_SILENT = 1 << 15
};

/* smtp_ehlo_keyword - the bit of one word (any case), 0 when it is unknown. */
int smtp_ehlo_keyword(struct slice word);
/* smtp_ehlo_keywords - the bits of a list such as smtpd_discard_ehlo_keywords; warns of words that are unknown, naming the parameter. */
int smtp_ehlo_keywords(struct slice list, const char *parameter);
/* smtp_ehlo_log_discarded - tell which keywords are withheld or ignored, unless EHLO_SILENT is among them. */
void smtp_ehlo_log_discarded(int bits);

#endif
