/* damaged.c - what qmgr has set aside in corrupt/ */
#include "damaged.h"

#include <sys/stat.h>

#include "base/arena.h"
#include "base/log.h"
#include "queue/maildrop_export.h"
#include "queue/record.h"
#include "queue/segment_file.h"

enum { SHOWN_MAX = 64 << 20, LEAST = 1 };

/* place_of - "[ID-]HEX16-HEX" tells segment and offset. */
static bool place_of(const char *path, uint64_t *segment, uint64_t *offset)
{
    const char *slash = strrchr(path, '/');
    struct slice name = slice_of(slash ? slash + 1 : path);
    size_t dash = slice_find_last(name, '-');
    if (dash == name.len || dash < SEGMENT_NAME_SIZE - 1)
        return false;
    struct slice number = slice_from(slice_first(name, dash), dash - (SEGMENT_NAME_SIZE - 1));
    return slice_to_u64_hex(number, segment) && slice_to_u64_hex(slice_from(name, dash + 1), offset);
}

static void put(void *context, char type, struct slice data)
{
    print_record(context, type, data);
}

static bool show_message(const struct record_header *header, struct slice bytes, int fd, const char *name, const struct print_options *options)
{
    struct arena *arena = arena_new(0);
    struct queue_record record;
    struct printer printer;
    bool ok = record_parse(header, bytes, arena, &record) && !header->content_file;
    if (ok) {
        record.place.content_offset -= header->offset; /* in this file */
        if (!record_check_content(fd, &record))
            log_warning("%s: the content is damaged", name);
        print_begin(&printer, options, name);
        ok = maildrop_export(&record, fd, put, &printer);
    }
    arena_free(arena);
    return ok;
}

/* show_text - what is left, in a form that no terminal minds. */
static void show_text(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (c == '\r' && i + 1 < bytes.len && bytes.data[i + 1] == '\n')
            continue;
        putchar(c == '\n' || c == '\t' || (c >= ' ' && c != 127) ? c : '?');
    }
    putchar('\n');
}

bool damaged_show(int fd, const char *name, const struct print_options *options)
{
    uint64_t segment, offset;
    struct record_header header;
    struct stat status;
    if (!place_of(name, &segment, &offset) || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size < LEAST)
        return false;
    size_t size = status.st_size < SHOWN_MAX ? (size_t)status.st_size : SHOWN_MAX;
    char *bytes = memory_alloc(size);
    ssize_t got = segment_file_read_now(fd, bytes, size, 0);
    if (got < 0)
        log_fatal("read %s: %s", name, strerror(errno));
    bool whole = got >= RECORD_RECIPIENTS_OFFSET && record_header_parse((const uint8_t *)bytes, segment, offset, &header) &&
                 show_message(&header, slice_make(bytes, (size_t)got), fd, name, options);
    if (!whole) {
        log_warning("%s: damaged, this is what is left of it", name);
        show_text(slice_make(bytes, (size_t)got));
    }
    free(bytes);
    return true;
}
