/* fuzz_reply.c - reply lines: what is built can be parsed, is short, and holds no line end of its own */
#include "base/log.h"
#include "base/verdict.h"
#include "smtp/reply.h"
#include "smtp/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (!condition)
        log_panic("%s", what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size), rest;
    struct buffer line = BUFFER_INIT, coded = BUFFER_INIT, again = BUFFER_INIT;
    struct status_code status;
    int code;
    bool more;

    smtp_reply_line(&line, 550, size % 2, size % 3 ? "5.7.1" : "", text);
    struct slice built = buffer_slice(&line);
    require(built.len <= SMTP_REPLY_LINE_MAX + 2 && slice_ends(built, SLICE("\r\n")), "line end");
    built.len -= 2;
    require(!slice_has_control(built), "control character");
    require(smtp_reply_parse(built, &code, &more, &rest) && code == 550 && more == (size % 2 == 1), "not parsed");

    if (smtp_reply_parse(text, &code, &more, &rest))
        require(code >= 100 && code <= 999 && rest.len <= text.len, "parse");
    if (smtp_reply_split(text, &code, &status, &rest))
        require(code >= 400 && code <= 599 && (status.class == 0 || status.class == code / 100), "split");

    xtext_encode(&coded, text);
    require(xtext_decode(&again, buffer_slice(&coded)) && slice_equal(buffer_slice(&again), text), "xtext");
    buffer_clear(&again);
    if (xtext_decode(&again, text))
        require(again.len <= size, "xtext grew");
    buffer_release(&line);
    buffer_release(&coded);
    buffer_release(&again);
    return 0;
}
