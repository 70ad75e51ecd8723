/* edit_master.c - postconf -Me, -MX, -M#, -Fe, -Pe, -PX: master.cf changed in place; comments and order stay as they are */
#include "base/log.h"
#include "master_entry.h"

struct request {
    struct master_pattern pattern;
    struct slice value;        /* -e */
    int column;                /* -F */
    struct master_entry entry; /* -Me: what the entry becomes */
    bool matched;
};

struct edit {
    struct postconf *pc;
    struct request *requests;
    int count;
    struct buffer *out;
};

/* ---- the command line ---- */

static void parse_pattern(struct postconf *pc, const char *text, struct request *request)
{
    int parts = pc->options & OPTION_M ? 2 : 3;
    bool ok = master_pattern_parse(text, parts, &request->pattern);
    const char *slash = strchr(text, '/');
    bool complete = slash != NULL && (parts == 2 || strchr(slash + 1, '/') != NULL);
    if (ok && complete)
        return;
    if (pc->options & OPTION_M)
        log_fatal("-Me, -MX or -M# requires service_name/type");
    if (pc->options & OPTION_F)
        log_fatal("-Fe or -FX requires service_name/type/field_name");
    log_fatal("-Pe or -PX requires service_name/type/parameter");
}

static void parse_request(struct postconf *pc, char *text, struct request *request)
{
    struct slice name = slice_trim(slice_of(text));
    const char *bad_count = arena_printf(pc->arena, "bad field count: \"%s\"", text);
    const char *whole = arena_strdup(pc->arena, text);
    edit_request_check(text);
    if (pc->options & OPTION_e)
        split_request(text, &name, &request->value);
    parse_pattern(pc, arena_string(pc->arena, name), request);
    request->pattern.text = whole;
    if (!(pc->options & OPTION_e))
        return;
    if (pc->options & OPTION_M)
        master_entry_parse(pc, request->value, bad_count, &request->entry);
    if (pc->options & OPTION_F) {
        request->column = master_column_find(request->pattern.item);
        master_entry_check_column(request->column, arena_string(pc->arena, request->value), request->value);
    }
    if ((pc->options & OPTION_P) && slice_find_any(request->value, " \t\r\v\f") < request->value.len)
        log_fatal("-Pe does not accept whitespace in parameter value");
}

/* ---- entries ---- */

/* change_entry - apply what -F or -P asks for; true when a request is about this entry. */
static bool change_entry(struct edit *edit, struct master_entry *entry)
{
    struct postconf *pc = edit->pc;
    const struct master_entry original = *entry;
    bool matched = false;
    for (int i = 0; i < edit->count; i++) {
        struct request *request = &edit->requests[i];
        if (!master_pattern_matches(&request->pattern, &original))
            continue;
        matched = request->matched = true;
        if (pc->options & OPTION_X)
            master_entry_remove(entry, request->pattern.item);
        else if (pc->options & OPTION_P)
            master_entry_set(pc, entry, request->pattern.item, request->value);
        else if (request->column == COLUMN_COMMAND)
            master_entry_set_command(pc, request->value, entry);
        else
            entry->columns[request->column] = arena_string(pc->arena, request->value);
    }
    return matched;
}

static struct request *find_entry_request(struct edit *edit, const struct master_entry *entry)
{
    for (int i = edit->count - 1; i >= 0; i--)
        if (master_pattern_matches(&edit->requests[i].pattern, entry))
            return &edit->requests[i];
    return NULL;
}

/* write_commented - the physical lines of an entry, each with '#' in front unless it is a comment already. */
static void write_commented(struct slice text, struct buffer *out)
{
    struct slice line;
    while (slice_next_line(&text, &line)) {
        struct slice content = slice_trim_left(line);
        if (content.len > 0 && content.data[0] != '#')
            buffer_append_byte(out, '#');
        buffer_append_slice(out, line);
        buffer_append_byte(out, '\n');
    }
}

/* write_comments - what stands between the lines of an entry. */
static void write_comments(struct slice text, struct buffer *out)
{
    struct slice line;
    while (slice_next_line(&text, &line)) {
        struct slice content = slice_trim_left(line);
        if (content.len > 0 && content.data[0] != '#')
            continue;
        buffer_append_slice(out, line);
        buffer_append_byte(out, '\n');
    }
}

/* edit_entry - text is the entry as it stands in the file, up to the next entry. */
static void edit_entry(struct edit *edit, struct slice text, struct master_entry *entry)
{
    struct postconf *pc = edit->pc;
    if (pc->options & (OPTION_F | OPTION_P)) {
        if (!change_entry(edit, entry)) {
            buffer_append_slice(edit->out, text);
            return;
        }
        write_comments(text, edit->out);
        master_entry_format(entry, true, edit->out);
        return;
    }
    struct request *request = find_entry_request(edit, entry);
    if (request == NULL) {
        buffer_append_slice(edit->out, text);
        return;
    }
    if (pc->options & OPTION_HASH) {
        write_commented(text, edit->out);
        return;
    }
    if ((pc->options & OPTION_e) && !request->matched)
        master_entry_format(&request->entry, true, edit->out);
    request->matched = true;
    write_comments(text, edit->out);
}

/* ---- the file ---- */

/* take_entry - the physical lines of the next entry with the comments that follow it; *is_entry false: comments at the beginning. */
static struct slice take_entry(struct slice *rest, bool *is_entry)
{
    const char *start = rest->data;
    struct slice ahead = *rest, line;
    *is_entry = false;
    while (slice_next_line(&ahead, &line)) {
        struct slice content = slice_trim_left(line);
        bool starts = content.len > 0 && content.data[0] != '#' && content.data == line.data;
        if (starts && (*is_entry || line.data != start))
            break;
        *is_entry |= starts;
        *rest = ahead;
    }
    const char *end = rest->len > 0 ? rest->data : ahead.data + ahead.len;
    return slice_make(start, (size_t)(end - start));
}

static void entry_of_lines(struct edit *edit, struct slice text, struct master_entry *entry)
{
    struct buffer logical = BUFFER_INIT;
    struct slice line;
    while (slice_next_line(&text, &line)) {
        struct slice content = slice_trim_left(line);
        if (content.len > 0 && content.data[0] != '#')
            buffer_append_slice(&logical, line);
    }
    master_entry_parse(edit->pc, slice_trim(buffer_slice(&logical)), "bad field count", entry);
    buffer_release(&logical);
}

static void rewrite(struct edit *edit, struct slice text)
{
    while (text.len > 0) {
        bool is_entry;
        struct slice part = take_entry(&text, &is_entry);
        struct master_entry entry;
        if (is_entry) {
            entry_of_lines(edit, part, &entry);
            edit_entry(edit, part, &entry);
        } else {
            buffer_append_slice(edit->out, part);
        }
    }
}

void edit_master(struct postconf *pc, char **arguments, int count)
{
    struct buffer old_text = BUFFER_INIT, new_text = BUFFER_INIT;
    struct edit edit = {.pc = pc, .count = count, .out = &new_text};
    edit.requests = arena_alloc(pc->arena, (size_t)count * sizeof(*edit.requests));
    for (int i = 0; i < count; i++)
        parse_request(pc, arguments[i], &edit.requests[i]);
    struct replacement *file = replacement_open(config_file(pc, "master.cf"), &old_text);
    if (old_text.len > 0 && old_text.data[old_text.len - 1] != '\n')
        buffer_append_byte(&old_text, '\n');
    rewrite(&edit, buffer_slice(&old_text));
    for (int i = 0; i < count; i++) {
        struct request *request = &edit.requests[i];
        if ((pc->options & OPTION_M) && (pc->options & OPTION_e) && !request->matched)
            master_entry_format(&request->entry, true, &new_text);
        else if ((pc->options & (OPTION_F | OPTION_P)) && !request->matched)
            log_warning("unmatched service_name/type: \"%s\"", request->pattern.text);
    }
    replacement_commit(file, buffer_slice(&new_text));
    buffer_release(&old_text);
    buffer_release(&new_text);
}
