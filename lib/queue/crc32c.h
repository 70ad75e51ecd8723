/* crc32c.h - the checksum of queue records (CRC-32C, Castagnoli; RFC 3720 B.4) */
#ifndef POSTERN_QUEUE_CRC32C_H
#define POSTERN_QUEUE_CRC32C_H

#include "base/slice.h"

/* crc32c - checksum of data that follows bytes whose checksum is crc (0 to begin).  Uses the processor's instruction where
   there is one, found out at run time. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* crc32c_by_table - the same without the instruction (tests compare the two). */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t len);

#endif
