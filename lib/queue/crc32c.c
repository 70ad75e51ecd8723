/* crc32c.c - CRC-32C: SSE 4.2 or ARMv8 instruction when the processor has it, eight tables otherwise */
#include "queue/crc32c.h"

#include <pthread.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

enum { TABLES = 8 };
#define POLYNOMIAL UINT32_C(0x82f63b78) /* bit-reversed */

static uint32_t tables[TABLES][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_instruction;

static void prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0);
        tables[0][i] = value;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int t = 1; t < TABLES; t++)
            tables[t][i] = tables[0][tables[t - 1][i] & 0xff] ^ (tables[t - 1][i] >> 8);
    }
#if defined(__x86_64__)
    has_instruction = __builtin_cpu_supports("sse4.2");
#elif defined(__aarch64__)
    has_instruction = (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
}

static uint32_t step(uint32_t crc, uint8_t byte)
{
    return tables[0][(crc ^ byte) & 0xff] ^ (crc >> 8);
}

uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&once, prepare);
    const uint8_t *at = data;
    crc = ~crc;
    for (; len >= 8; len -= 8, at += 8) {
        crc ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^ tables[5][crc >> 16 & 0xff] ^ tables[4][crc >> 24] ^
              tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
    }
    while (len--)
        crc = step(crc, *at++);
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t len)
{
    uint64_t value = (uint32_t)~crc;
    for (; len >= 8; len -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        value = __builtin_ia32_crc32di(value, word);
    }
    uint32_t rest = (uint32_t)value;
    while (len--)
        rest = __builtin_ia32_crc32qi(rest, *at++);
    return ~rest;
}
#elif defined(__aarch64__)
__attribute__((target("+crc"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t len)
{
    crc = ~crc;
    for (; len >= 8; len -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        crc = __builtin_aarch64_crc32cx(crc, word);
    }
    while (len--)
        crc = __builtin_aarch64_crc32cb(crc, *at++);
    return ~crc;
}
#else
static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t len)
{
    return crc32c_by_table(crc, at, len);
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&once, prepare);
    return has_instruction ? by_instruction(crc, data, len) : crc32c_by_table(crc, data, len);
}
