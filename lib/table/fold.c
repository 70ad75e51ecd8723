/* fold.c - the form under which fixed tables hold their keys */
#include <unicase.h>

#include "table/table.h"

void table_key_fold(struct slice key, bool utf8, struct buffer *out)
{
    if (!utf8 || slice_is_ascii(key) || !slice_is_utf8(key)) {
        buffer_append_lower(out, key);
        return;
    }
    size_t length = 0;
    uint8_t *folded = u8_casefold((const uint8_t *)key.data, key.len, NULL, NULL, NULL, &length);
    if (folded)
        buffer_append(out, folded, length);
    else
        buffer_append_lower(out, key);
    free(folded);
}
