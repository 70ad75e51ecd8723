/* master_entry.c - see master_entry.h */
#include "master_entry.h"

#include "base/log.h"
#include "conf/config_file.h"
#include "conf/logical_lines.h"
#include "conf/master_cf.h"

const char *const master_column_names[MASTER_COLUMNS] = {"service", "type",   "private",       "unprivileged",
                                                         "chroot",  "wakeup", "process_limit", "command"};

int master_column_find(struct slice name)
{
    for (int i = 0; i < MASTER_COLUMNS; i++)
        if (slice_equal(name, slice_of(master_column_names[i])))
            return i;
    log_fatal("invalid service attribute name: \"" SLICE_FORMAT "\"", SLICE_ARGS(name));
}

/* ---- columns ---- */

static bool is_one_of(const char *value, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(value, *list) == 0)
            return true;
    return false;
}

static bool column_valid(int column, const char *value)
{
    static const char *const types[] = {"inet", "unix", "fifo", "pass", "unix-dgram", NULL}, *const flags[] = {"y", "n", "-", NULL};
    struct slice text = slice_of(value);
    uint64_t number;
    switch (column) {
    case 1: return is_one_of(value, types);
    case 2:
    case 3:
    case 4: return is_one_of(value, flags);
    case 5:
        if (slice_ends(text, SLICE("?")))
            text = slice_first(text, text.len - 1);
        return strcmp(value, "-") == 0 || slice_to_u64(text, &number);
    case 6: return strcmp(value, "-") == 0 || slice_to_u64(text, &number);
    default: return true;
    }
}

void master_entry_check_column(int column, const char *value, struct slice context)
{
    if (!column_valid(column, value))
        log_fatal("invalid %s field \"%s\" in \"" SLICE_FORMAT "\"", master_column_names[column], value, SLICE_ARGS(context));
}

/* ---- words ---- */

static void add_word(struct postconf *pc, struct master_entry *entry, const char *word)
{
    /* grows by doubling: a full power of two is the sign to move */
    if ((entry->word_count & (entry->word_count - 1)) == 0) {
        size_t room = entry->word_count ? entry->word_count * 2 : 1;
        const char **words = arena_alloc(pc->arena, room * sizeof(*words));
        if (entry->word_count > 0)
            memcpy(words, entry->words, entry->word_count * sizeof(*words));
        entry->words = words;
    }
    entry->words[entry->word_count++] = word;
}

/* setting_text - "name=value" without the blanks around its parts; left as it is when it is no assignment. */
static const char *setting_text(struct postconf *pc, struct slice text)
{
    size_t equal = slice_find(text, '=');
    struct slice name = slice_trim(slice_first(text, equal));
    if (equal == text.len || slice_find_any(name, " \t\r\n\v\f") < name.len)
        return arena_string(pc->arena, text);
    if (name.len == 0)
        log_warning("master.cf: missing attribute name: \"" SLICE_FORMAT "\"", SLICE_ARGS(text));
    return arena_printf(pc->arena, SLICE_FORMAT "=" SLICE_FORMAT, SLICE_ARGS(name), SLICE_ARGS(slice_trim(slice_from(text, equal + 1))));
}

static bool take_word(struct slice *rest, struct slice *word)
{
    bool braced;
    const char *wrong;
    if (!master_cf_word(rest, word, &braced, &wrong))
        return false;
    if (wrong != NULL)
        log_warning("master.cf: %s in \"" SLICE_FORMAT "\"", wrong, SLICE_ARGS(*word));
    return true;
}

/* add_option - a word that starts with '-'; "-vo" and "-oname=value" are taken apart. */
static void add_option(struct postconf *pc, struct master_entry *entry, struct slice word, struct slice *rest)
{
    size_t o = slice_find(word, 'o');
    if (o == word.len) {
        add_word(pc, entry, arena_string(pc->arena, word));
        return;
    }
    if (o > 1)
        add_word(pc, entry, arena_string(pc->arena, slice_first(word, o)));
    add_word(pc, entry, "-o");
    struct slice value = slice_from(word, o + 1), inside;
    /* "-o{name = value}": the word may go on after a blank */
    if (value.len > 0 && value.data[0] == '{') {
        struct slice glued = slice_make(value.data, (size_t)(rest->data + rest->len - value.data));
        if (take_word(&glued, &inside)) {
            *rest = glued;
            value = inside;
        }
    } else if (value.len == 0 && !take_word(rest, &value)) {
        return;
    }
    add_word(pc, entry, setting_text(pc, value));
}

void master_entry_set_command(struct postconf *pc, struct slice text, struct master_entry *entry)
{
    struct slice rest = text, word;
    entry->word_count = entry->option_words = 0;
    if (!take_word(&rest, &word))
        word = SLICE("");
    entry->columns[COLUMN_COMMAND] = arena_string(pc->arena, word);
    bool options = true;
    for (;;) {
        rest = slice_trim_left(rest);
        bool braced = rest.len > 0 && rest.data[0] == '{';
        if (!take_word(&rest, &word))
            break;
        options = options && !braced && word.len > 1 && word.data[0] == '-' && word.data[1] != '-';
        if (options) {
            add_option(pc, entry, word, &rest);
            entry->option_words = entry->word_count;
        } else {
            add_word(pc, entry, arena_string(pc->arena, word));
        }
    }
}

void master_entry_parse(struct postconf *pc, struct slice line, const char *bad_count, struct master_entry *entry)
{
    struct slice rest = line, word;
    *entry = (struct master_entry){0};
    for (int i = 0; i < COLUMN_COMMAND; i++) {
        if (!slice_next_token(&rest, " \t\r\n\v\f", &word))
            log_fatal("%s", bad_count);
        entry->columns[i] = arena_string(pc->arena, word);
    }
    if (slice_trim(rest).len == 0)
        log_fatal("%s", bad_count);
    for (int i = 0; i < COLUMN_COMMAND; i++)
        master_entry_check_column(i, entry->columns[i], line);
    master_entry_set_command(pc, rest, entry);
}

struct master_entries *master_entries_load(struct postconf *pc, const char *path, bool required)
{
    struct master_entries *entries = arena_alloc(pc->arena, sizeof(*entries));
    struct buffer text = BUFFER_INIT, line = BUFFER_INIT;
    struct logical_lines lines;
    size_t room = 0;
    if (!config_read_file(path, &text)) {
        if (required)
            log_fatal("open %s: %s", path, strerror(errno));
        log_warning("open %s: %s", path, strerror(errno));
    }
    logical_lines_start(&lines, buffer_slice(&text));
    while (logical_lines_next(&lines, &line)) {
        struct slice content = buffer_slice(&line);
        if (lines.orphan) {
            log_warning("%s: logical line must not start with whitespace: \"" SLICE_FORMAT "%s\"", path,
                        SLICE_ARGS(slice_first(content, 30)), content.len > 30 ? "..." : "");
            continue;
        }
        if (entries->count == room) {
            room = room ? room * 2 : 64;
            struct master_entry *items = arena_alloc(pc->arena, room * sizeof(*items));
            if (entries->count > 0)
                memcpy(items, entries->items, entries->count * sizeof(*items));
            entries->items = items;
        }
        const char *bad_count = arena_printf(pc->arena, "file %s: line %d: bad field count", path, lines.first);
        master_entry_parse(pc, content, bad_count, &entries->items[entries->count++]);
    }
    buffer_release(&text);
    buffer_release(&line);
    return entries;
}

/* ---- settings ---- */

bool master_entry_next_setting(const struct master_entry *entry, size_t *at, struct slice *name, struct slice *value)
{
    while (*at + 1 < entry->option_words) {
        size_t i = (*at)++;
        if (strcmp(entry->words[i], "-o") != 0)
            continue;
        (*at)++;
        if (slice_cut(slice_of(entry->words[i + 1]), '=', name, value) && name->len > 0 &&
            slice_find_any(*name, " \t\r\n\v\f") == name->len)
            return true;
    }
    return false;
}

void master_entry_remove(struct master_entry *entry, struct slice name)
{
    size_t at = 0, start = 0;
    struct slice found, value;
    while (master_entry_next_setting(entry, &at, &found, &value)) {
        start = at - 2;
        if (!slice_equal(found, name))
            continue;
        memmove(entry->words + start, entry->words + at, (entry->word_count - at) * sizeof(*entry->words));
        entry->word_count -= 2;
        entry->option_words -= 2;
        at = start;
    }
}

void master_entry_set(struct postconf *pc, struct master_entry *entry, struct slice name, struct slice value)
{
    const char *text = arena_printf(pc->arena, SLICE_FORMAT "=" SLICE_FORMAT, SLICE_ARGS(name), SLICE_ARGS(value));
    size_t at = 0;
    bool found = false;
    struct slice old_name, old_value;
    while (master_entry_next_setting(entry, &at, &old_name, &old_value)) {
        if (slice_equal(old_name, name)) {
            entry->words[at - 1] = text;
            found = true;
        }
    }
    if (found)
        return;
    size_t options = entry->option_words, others = entry->word_count - options;
    const char **words = entry->words;
    struct master_entry longer = *entry;
    longer.words = NULL;
    longer.word_count = 0;
    for (size_t i = 0; i < options; i++)
        add_word(pc, &longer, words[i]);
    add_word(pc, &longer, "-o");
    add_word(pc, &longer, text);
    longer.option_words = longer.word_count;
    for (size_t i = 0; i < others; i++)
        add_word(pc, &longer, words[options + i]);
    *entry = longer;
}

/* ---- text ---- */

static void append_word(struct buffer *out, const char *word)
{
    bool braces = word[0] == '\0' || strpbrk(word, " \t\r\n\v\f") != NULL;
    buffer_printf(out, braces ? "{%s}" : "%s", word);
}

void master_entry_format_command(const struct master_entry *entry, size_t column, bool fold, struct buffer *out)
{
    struct buffer word = BUFFER_INIT;
    bool start_line = false;
    append_word(out, entry->columns[COLUMN_COMMAND]);
    column += strlen(entry->columns[COLUMN_COMMAND]);
    for (size_t i = 0; i < entry->word_count; i++) {
        bool is_setting = i + 1 < entry->option_words && strcmp(entry->words[i], "-o") == 0;
        buffer_clear(&word);
        append_word(&word, entry->words[i]);
        if (is_setting) {
            buffer_append_byte(&word, ' ');
            append_word(&word, entry->words[++i]);
        }
        if (fold && (is_setting || start_line || column + 1 + word.len >= FOLD_COLUMN)) {
            buffer_printf(out, "\n%*s", FOLD_INDENT, "");
            column = FOLD_INDENT;
        } else {
            buffer_append_byte(out, ' ');
            column++;
        }
        buffer_append_slice(out, buffer_slice(&word));
        column += word.len;
        start_line = is_setting;
    }
    buffer_release(&word);
}

void master_entry_format(const struct master_entry *entry, bool fold, struct buffer *out)
{
    static const size_t tab_stops[MASTER_COLUMNS] = {0, 11, 17, 25, 33, 41, 49, 57};
    size_t start = out->len;
    for (int i = 0; i < COLUMN_COMMAND; i++) {
        buffer_append_string(out, entry->columns[i]);
        do
            buffer_append_byte(out, ' ');
        while (out->len - start < tab_stops[i + 1]);
    }
    master_entry_format_command(entry, out->len - start, fold, out);
    buffer_append_byte(out, '\n');
}

/* ---- patterns ---- */

bool master_pattern_parse(const char *text, int parts, struct master_pattern *pattern)
{
    struct slice rest = slice_of(text), *part[3] = {&pattern->service, &pattern->type, &pattern->item};
    *pattern = (struct master_pattern){.text = text, .service = SLICE("*"), .type = SLICE("*"), .item = SLICE("*")};
    bool more = true;
    for (int i = 0; i < parts && i < 3 && more; i++) {
        struct slice head, tail;
        more = slice_cut(rest, '/', &head, &tail);
        if (head.len == 0 || (head.len > 1 && slice_find(head, '*') < head.len))
            return false;
        *part[i] = head;
        rest = tail;
    }
    return !more;
}

bool master_part_matches(struct slice part, const char *text)
{
    return slice_equal(part, SLICE("*")) || slice_equal(part, slice_of(text));
}

bool master_pattern_matches(const struct master_pattern *pattern, const struct master_entry *entry)
{
    return master_part_matches(pattern->service, entry->columns[0]) && master_part_matches(pattern->type, entry->columns[1]);
}
