/* arguments.c - what the line of a pipe(8) service in master.cf says (compat.md g.4) */
#include "pipe.h"

#include <grp.h>
#include <pwd.h>

#include "base/log.h"

static void parse_flags(struct pipe_arguments *pipe, const char *text)
{
    static const struct { char letter; int flag; } letters[] = {
        {'B', FLAG_EMPTY_LINE}, {'D', FLAG_DELIVERED_TO}, {'F', FLAG_FROM}, {'O', FLAG_ORIGINAL_TO}, {'R', FLAG_RETURN_PATH}, {'X', FLAG_FINAL},
        {'h', FLAG_FOLD_HOST}, {'u', FLAG_FOLD_USER}, {'q', FLAG_QUOTE}, {'.', FLAG_DOT}, {'>', FLAG_QUOTE_FROM}};

    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (i < COUNT_OF(letters) && letters[i].letter != *text)
            i++;
        if (i == COUNT_OF(letters))
            log_fatal("unknown flag: %c (ignored)", *text);
        pipe->flags |= letters[i].flag;
    }
}

static void parse_user(struct pipe_arguments *pipe, const char *text)
{
    struct slice name, group;
    char *user;
    uint64_t number;

    bool with_group = slice_cut(slice_of(text), ':', &name, &group);
    user = slice_string(name);
    struct passwd *entry = getpwnam(user);
    if (entry == NULL && slice_to_u64(name, &number))
        entry = getpwuid((uid_t)number);
    if (entry == NULL)
        log_fatal("get_service_attr: unknown username: %s", user);
    pipe->uid = entry->pw_uid;
    pipe->gid = entry->pw_gid;
    free(user);
    if (with_group) {
        char *group_name = slice_string(group);
        struct group *found = getgrnam(group_name);
        if (found == NULL)
            log_fatal("get_service_attr: unknown group: %s", group_name);
        pipe->gid = found->gr_gid;
        free(group_name);
    }
}

/* end_of_line - the C escapes \r \n \t \\ of eol=. */
static struct slice end_of_line(const char *text)
{
    struct buffer out = BUFFER_INIT;

    for (; *text != '\0'; text++) {
        if (*text == '\\' && text[1] != '\0') {
            text++;
            buffer_append_byte(&out, *text == 'r' ? '\r' : *text == 'n' ? '\n' : *text == 't' ? '\t' : *text);
        } else {
            buffer_append_byte(&out, *text);
        }
    }
    size_t length = out.len;
    return slice_make(buffer_steal(&out), length); /* kept for the life of the process */
}

static void parse_argument(struct pipe_arguments *pipe, const char *argument, const char *const *rest, size_t rest_count)
{
    struct slice value;
    struct slice text = slice_of(argument), name;

    if (!slice_cut(text, '=', &name, &value))
        log_fatal("unknown attribute: %s", argument);
    if (slice_equal(name, SLICE("flags"))) {
        parse_flags(pipe, value.data);
    } else if (slice_equal(name, SLICE("user"))) {
        parse_user(pipe, value.data);
    } else if (slice_equal(name, SLICE("argv"))) {
        const char **words = memory_zalloc(1026, sizeof(*words));
        size_t count = 0;
        words[count++] = value.data;
        for (size_t i = 0; i < rest_count && count < 1024; i++)
            words[count++] = rest[i];
        pipe->argv = words;
    } else if (slice_equal(name, SLICE("directory"))) {
        pipe->directory = value.data;
    } else if (slice_equal(name, SLICE("chroot"))) {
        pipe->root = value.data;
    } else if (slice_equal(name, SLICE("eol"))) {
        pipe->end_of_line = end_of_line(value.data);
    } else if (slice_equal(name, SLICE("null_sender"))) {
        pipe->null_sender = value.data;
    } else if (slice_equal(name, SLICE("size"))) {
        if (!slice_to_i64(value, &pipe->size_limit) || pipe->size_limit < 0)
            log_fatal("bad size limit: %s", argument);
    } else {
        log_fatal("unknown attribute: %s", argument);
    }
}

void arguments_parse(struct pipe_arguments *pipe, const char *const *arguments, size_t count)
{
    pipe->null_sender = "MAILER-DAEMON";
    pipe->end_of_line = SLICE("\n");
    pipe->uid = (uid_t)-1;
    for (size_t i = 0; i < count && pipe->argv == NULL; i++)
        parse_argument(pipe, arguments[i], arguments + i + 1, count - i - 1);
    if (pipe->argv == NULL)
        log_fatal("missing argv= command-line attribute");
    if (pipe->uid == (uid_t)-1)
        log_fatal("missing user= command-line attribute");
}
