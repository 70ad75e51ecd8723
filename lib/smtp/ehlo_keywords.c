/* ehlo_keywords.c - see ehlo_keywords.h */
#include "smtp/ehlo_keywords.h"

#include "base/buffer.h"
#include "base/log.h"
#include "conf/config.h"

static const struct { const char *name; int bit; } keywords[] = {
    {"8BITMIME", EHLO_8BITMIME}, {"AUTH", EHLO_AUTH}, {"ETRN", EHLO_ETRN}, {"PIPELINING", EHLO_PIPELINING}, {"SIZE", EHLO_SIZE},
    {"VERP", EHLO_VERP}, {"VRFY", EHLO_VRFY}, {"XCLIENT", EHLO_XCLIENT}, {"XFORWARD", EHLO_XFORWARD}, {"STARTTLS", EHLO_STARTTLS},
    {"ENHANCEDSTATUSCODES", EHLO_ENHANCED_STATUS}, {"DSN", EHLO_DSN}, {"SMTPUTF8", EHLO_SMTPUTF8}, {"CHUNKING", EHLO_CHUNKING},
    {"REQUIRETLS", EHLO_REQUIRETLS}, {"silent-discard", EHLO_SILENT},
};

int smtp_ehlo_keyword(struct slice word)
{
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (slice_equal_case(word, slice_of(keywords[i].name)))
            return keywords[i].bit;
    return 0;
}

int smtp_ehlo_keywords(struct slice list, const char *parameter)
{
    struct slice word;
    int bits = 0;

    while (config_list_next(&list, &word)) {
        int bit = smtp_ehlo_keyword(word);
        if (bit == 0)
            log_warning("%s: ignoring unknown EHLO keyword \"" SLICE_FORMAT "\"", parameter, SLICE_ARGS(word));
        bits |= bit;
    }
    return bits;
}

void smtp_ehlo_log_discarded(int bits)
{
    struct buffer names = BUFFER_INIT_MAX(512);

    if (bits == 0 || (bits & EHLO_SILENT))
        return;
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (bits & keywords[i].bit)
            buffer_printf(&names, " %s", keywords[i].name);
    log_info("discarding EHLO keywords:%s", buffer_string(&names));
    buffer_release(&names);
}
