/* offenders.h - addresses that have guessed passwords too often, as a file that a firewall reads */
#ifndef POSTERN_ANVIL_OFFENDERS_H
#define POSTERN_ANVIL_OFFENDERS_H

#include "cache.h"

enum { OFFENDERS_MAX = 64 << 20 /* bytes of the file */ };

/* offenders_text - append the addresses that are keys of the cache and have not ended, one a line (what is no address is left out: the readers may be root).
   The result is when the first of them ends (clock_wall), INT64_MAX for never. */
int64_t offenders_text(const struct cache *cache, int64_t now, struct buffer *out);
/* offenders_write - the text takes the place of the file, whole; no file is made for an empty text.  What fails is in the log.  Blocks. */
void offenders_write(const char *path, struct slice text);

#endif
