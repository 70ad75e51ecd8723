/* thread.c - which message a notice is about, for mail readers that show threads (enable_threaded_bounces) */
#include "notice.h"

#include <unistd.h>

#include "message/header.h"

enum { HEAD_MAX = 65536 /* bytes of the header that are looked at */ };

/* take_id - "<...>" and nothing else, so that it can be put into a header as it is. */
static bool take_id(struct slice value, struct buffer *id)
{
    value = slice_trim(value);
    if (value.len < 3 || value.data[0] != '<' || slice_find(value, '>') != value.len - 1 || slice_has_control(value))
        return false;
    return buffer_append_slice(id, value);
}

bool notice_original_id(const struct notice *notice, struct buffer *id)
{
    const struct bounce_request *request = notice->request;
    if (!notice->params->enable_threaded_bounces || notice->content_fd < 0 || notice_is_redacted(notice))
        return false;
    size_t size = request->content_length < HEAD_MAX ? (size_t)request->content_length : HEAD_MAX;
    char *head = memory_alloc(size + 1);
    ssize_t got = pread(notice->content_fd, head, size, request->content_offset);
    struct slice rest = slice_make(head, got > 0 ? (size_t)got : 0), line, name, value;
    bool found = false;
    while (slice_next_line(&rest, &line) && slice_trim(line).len > 0) {
        if (header_parse(line, &name, &value) && header_known(name) == HEADER_MESSAGE_ID) {
            found = take_id(value, id);
            break;
        }
    }
    free(head);
    return found;
}
