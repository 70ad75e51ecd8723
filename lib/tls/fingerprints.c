/* fingerprints.c - see fingerprints.h */
#include "tls/fingerprints.h"

#include "base/log.h"

#define SHOWN_MAX 200 /* characters of what is no fingerprint */

bool fingerprint_parse(struct slice word, struct buffer *hexadecimal)
{
    size_t digits = 0;

    for (size_t i = 0; i < word.len; i++) {
        unsigned char c = (unsigned char)word.data[i];
        if (c == ':' && digits == 2 && i + 1 < word.len) {
            digits = 0;
            continue;
        }
        if (!isxdigit(c))
            return false;
        digits = digits == 2 ? 1 : digits + 1;
        buffer_append_byte(hexadecimal, (char)toupper(c));
    }
    return digits == 2 && hexadecimal->len % 2 == 0;
}

size_t fingerprints_count(struct slice list, const char *separators)
{
    struct buffer text = BUFFER_INIT;
    struct slice word;
    size_t count = 0;

    while (slice_next_token(&list, separators, &word)) {
        buffer_clear(&text);
        if (fingerprint_parse(word, &text))
            count++;
        else
            log_warning("malformed fingerprint value: " SLICE_FORMAT, SLICE_ARGS(slice_first(word, SHOWN_MAX)));
    }
    buffer_release(&text);
    return count;
}

enum fingerprints_found fingerprints_compare(struct slice list, const char *separators, const struct tls_facts *facts, const char *peer)
{
    struct buffer text = BUFFER_INIT, own = BUFFER_INIT, key = BUFFER_INIT;
    enum fingerprints_found result = FINGERPRINTS_UNUSABLE;
    struct slice word;

    if (!fingerprint_parse(slice_of(facts->fingerprint), &own) || !fingerprint_parse(slice_of(facts->key_fingerprint), &key))
        list = (struct slice){0}; /* the digest is none, or there is no certificate */
    while (slice_next_token(&list, separators, &word)) {
        buffer_clear(&text);
        if (!fingerprint_parse(word, &text))
            continue;
        if (text.len != own.len) {
            for (int selector = 1; selector >= 0; selector--)
                log_warning("%s: unusable TLSA RR: 3 %d 255 %s", peer, selector, buffer_string(&text));
        } else if (slice_equal(buffer_slice(&text), buffer_slice(&own)) || slice_equal(buffer_slice(&text), buffer_slice(&key))) {
            result = FINGERPRINTS_MATCH;
        } else if (result == FINGERPRINTS_UNUSABLE) {
            result = FINGERPRINTS_DIFFER;
        }
    }
    if (result == FINGERPRINTS_UNUSABLE && own.len > 0)
        log_warning("%s: all fingerprints unusable", peer);
    buffer_release(&text);
    buffer_release(&own);
    buffer_release(&key);
    return result;
}
