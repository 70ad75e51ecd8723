/* edit_main.c - postconf -e, -X, -# for main.cf: comments and order stay as they are */
#include "base/log.h"
#include "base/map.h"
#include "postconf.h"

struct change {
    struct slice name;
    char *value;
    int found; /* entries replaced so far */
};

void edit_request_check(const char *request)
{
    if (strchr(request, '\n') != NULL)
        log_fatal("-e, -X, or -# accepts no multi-line input");
    if (slice_starts(slice_trim_left(slice_of(request)), SLICE("#")))
        log_fatal("-e, -X, or -# accepts no comment input");
}

void split_request(char *request, struct slice *name, struct slice *value)
{
    struct slice text = slice_trim(slice_of(request)), rest;
    size_t n = slice_find_any(text, "= \t\r\v\f");
    *name = slice_first(text, n);
    rest = slice_trim_left(slice_from(text, n));
    if (n == 0)
        log_fatal("missing attribute name: \"" SLICE_FORMAT "\"", SLICE_ARGS(text));
    if (rest.len == 0 || rest.data[0] != '=')
        log_fatal("missing '=' after attribute name: \"" SLICE_FORMAT "\"", SLICE_ARGS(text));
    *value = slice_trim(slice_from(rest, 1));
}

/* read_changes - the command line as name -> struct change, in the order of first mention. */
static struct map *read_changes(struct postconf *pc, char **requests, int count)
{
    struct map *changes = map_new(NULL);
    for (int i = 0; i < count; i++) {
        edit_request_check(requests[i]);
        struct change *change = arena_alloc(pc->arena, sizeof(*change)), *before;
        struct slice value = {0};
        if (pc->options & OPTION_e)
            split_request(requests[i], &change->name, &value);
        else
            change->name = slice_trim(slice_of(requests[i]));
        change->value = arena_string(pc->arena, value);
        before = map_get(changes, change->name);
        if (before != NULL && (pc->options & OPTION_e) && strcmp(before->value, change->value) != 0)
            log_warning("ignoring earlier request: '" SLICE_FORMAT " = %s'", SLICE_ARGS(change->name), before->value);
        map_set(changes, change->name, change);
    }
    return changes;
}

static bool is_comment(struct slice line)
{
    struct slice text = slice_trim_left(line);
    return text.len == 0 || text.data[0] == '#';
}

static struct slice name_of(struct slice line)
{
    size_t n = slice_find_any(line, "= \t\r\v\f");
    return slice_first(line, n);
}

static void write_setting(struct buffer *out, const struct change *change)
{
    buffer_printf(out, SLICE_FORMAT " = %s\n", SLICE_ARGS(change->name), change->value);
}

/* start_entry - the first line of an entry that is to be changed. */
static void start_entry(struct postconf *pc, struct change *change, struct slice line, struct buffer *out)
{
    if (++change->found == 2)
        log_warning("%s: multiple entries for \"" SLICE_FORMAT "\"", config_file(pc, "main.cf"), SLICE_ARGS(change->name));
    if (pc->options & OPTION_e)
        write_setting(out, change);
    else if (pc->options & OPTION_HASH)
        buffer_printf(out, "#" SLICE_FORMAT "\n", SLICE_ARGS(line));
}

static void rewrite(struct postconf *pc, struct map *changes, struct slice text, struct buffer *out)
{
    struct change *current = NULL; /* the entry that we are in, when it is to be changed */
    struct slice line;
    while (slice_next_line(&text, &line)) {
        bool continues = line.len > 0 && isspace((unsigned char)line.data[0]);
        if (is_comment(line)) {
            buffer_append_slice(out, line);
            buffer_append_byte(out, '\n');
            continue;
        }
        if (!continues) {
            current = map_get(changes, name_of(line));
            if (current != NULL) {
                start_entry(pc, current, line, out);
                continue;
            }
        }
        if (current != NULL && !(pc->options & OPTION_HASH))
            continue; /* the rest of an entry that was replaced or deleted */
        if (current != NULL)
            buffer_append_byte(out, '#');
        buffer_append_slice(out, line);
        buffer_append_byte(out, '\n');
    }
}

void edit_main(struct postconf *pc, char **requests, int count)
{
    struct map *changes = read_changes(pc, requests, count);
    struct buffer old_text = BUFFER_INIT, new_text = BUFFER_INIT;
    struct replacement *file = replacement_open(config_file(pc, "main.cf"), &old_text);
    rewrite(pc, changes, buffer_slice(&old_text), &new_text);
    size_t position = 0;
    struct slice name;
    void *value;
    while ((pc->options & OPTION_e) && map_next(changes, &position, &name, &value))
        if (((struct change *)value)->found == 0)
            write_setting(&new_text, value);
    replacement_commit(file, buffer_slice(&new_text));
    buffer_release(&old_text);
    buffer_release(&new_text);
    map_free(changes);
}
