/* fuzz_maildrop.c - maildrop files as pickup reads them; the content may end lines with CRLF only
   uses: qmgr/pickup/dropped.c tools/postdrop/filter.c */
#include "base/log.h"
#include "../../qmgr/pickup/pickup.h"
#include "../../tools/postdrop/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* filter.c writes through this. */
void drop_file_write(struct drop_file *file UNUSED, struct slice data UNUSED) {}

struct state {
    char last;
    int64_t bytes;
};

static void put(void *context, struct slice data)
{
    struct state *state = context;
    for (size_t i = 0; i < data.len; i++) {
        if (data.data[i] == '\n' && state->last != '\r')
            abort();
        state->last = data.data[i];
    }
    state->bytes += (int64_t)data.len;
}

static void pick_up(struct slice file)
{
    struct dropped dropped = {.arena = arena_new(0)};
    struct maildrop_reader reader;
    struct state state = {0};
    int64_t counted = 0;
    maildrop_reader_memory(&reader, file);
    if (dropped_envelope(&dropped, &reader) == DROPPED_OK) {
        if (dropped.envelope.recipients_count == 0)
            abort();
        if (dropped_content(&dropped, &reader, put, &state, &counted) == DROPPED_OK && state.bytes && state.last != '\n')
            abort();
    }
    maildrop_reader_release(&reader);
    arena_free(dropped.arena);
}

/* drop - postdrop's filter; a line break in an envelope record ends that program, so such input is left out. */
static void drop(struct slice file)
{
    struct maildrop_reader reader;
    struct filter filter;
    enum maildrop_phase phase;
    char type;
    struct slice data;
    maildrop_reader_memory(&reader, file);
    filter_init(&filter, 1000);
    while (maildrop_read(&reader, &type, &data) == MAILDROP_RECORD && !(filter.status & FILTER_BAD)) {
        phase = filter.phase;
        if (phase != MAILDROP_CONTENT && (slice_find_any(data, "\r\n") < data.len || slice_find(data, '\0') < data.len))
            break;
        filter_record(&filter, type, data);
    }
    filter_release(&filter);
    maildrop_reader_release(&reader);
}

static void ignore_log(enum log_severity severity UNUSED, const char *text UNUSED, void *context UNUSED) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_set_watcher(ignore_log, NULL);
    pick_up(slice_make(data, size));
    drop(slice_make(data, size));
    return 0;
}
