/* members.c - the items of an alias, of an :include: file, of a .forward file */
#include "local.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "address/mail_address.h"
#include "base/log.h"

#define INCLUDE_MAX (16 << 20)
#define INCLUDE_LEVEL_MAX 100
#define INCLUDE_PIECE 8192

/* skip_separators - blanks, commas, a ">" that closes nothing, and in files comment lines. */
static void skip_separators(struct slice *rest, bool in_file)
{
    while (rest->len > 0 && (isspace((unsigned char)rest->data[0]) || rest->data[0] == ',' || rest->data[0] == '>' ||
                             (in_file && rest->data[0] == '#'))) {
        if (rest->data[0] == '#')
            *rest = slice_from(*rest, slice_find(*rest, '\n'));
        else
            *rest = slice_from(*rest, 1);
    }
}

/* quoted_word - length of "\"|command args\"", of |"command args" and of the like, where the closing quote ends the item; 0: it is none. */
static size_t quoted_word(struct slice text)
{
    size_t i = text.data[0] == '|' ? 1 : 0;
    if (i + 1 >= text.len || text.data[i] != '"' || (i == 0 && strchr("|/:~\\", text.data[1]) == NULL))
        return 0;
    for (i++; i < text.len; i++) {
        if (text.data[i] == '\\')
            i++;
        else if (text.data[i] == '"')
            return i + 1;
    }
    return 0;
}

/* next_item - cut at commas (in files at line ends too) outside quotes, comments and <>; comment lines of files are dropped. */
static bool next_item(struct slice *rest, bool in_file, struct slice *item)
{
    size_t i = 0, depth = 0;
    bool quoted = false;

    skip_separators(rest, in_file);
    if (rest->len == 0)
        return false;
    size_t word = quoted_word(*rest);
    if (word > 0) {
        *item = slice_first(*rest, word);
        *rest = slice_from(*rest, word);
        return true;
    }
    bool bare = rest->data[0] == '|' || rest->data[0] == '/'; /* without quotes a command is one word */
    for (; i < rest->len; i++) {
        char c = rest->data[i];
        if (bare && (c == ' ' || c == '\t' || c == '\r' || c == ';'))
            break;
        if (c == '\\' && i + 1 < rest->len)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (c == '(' || c == '<')
            depth++;
        else if ((c == ')' || c == '>') && depth > 0)
            depth--;
        else if ((c == ',' && depth == 0) || (in_file && c == '\n'))
            break;
    }
    *item = slice_trim(slice_first(*rest, i));
    *rest = slice_from(*rest, i);
    return true;
}

/* unquoted - take the quotes off "\"|command args\"" and |"command args". */
static struct slice unquoted(struct job *job, struct slice item)
{
    size_t start = slice_starts(item, SLICE("|")) ? 1 : 0;
    if (item.len < start + 2 || item.data[start] != '"' || item.data[item.len - 1] != '"')
        return item;
    struct buffer out = BUFFER_INIT;
    struct slice inside = slice_make(item.data + start + 1, item.len - start - 2);
    buffer_append(&out, item.data, start);
    for (size_t i = 0; i < inside.len; i++) {
        if (inside.data[i] == '\\' && i + 1 < inside.len)
            i++;
        buffer_append_byte(&out, inside.data[i]);
    }
    struct slice copy = arena_slice(job->arena, buffer_slice(&out));
    buffer_release(&out);
    return copy;
}

static struct slice origin_name(enum origin origin)
{
    return origin == ORIGIN_FORWARD ? SLICE("forward") : origin == ORIGIN_INCLUDE ? SLICE("include") : SLICE("alias");
}

static void to_command(struct job *job, const struct target *parent, struct slice text)
{
    if (!list_has(job->params->allow_mail_to_commands, origin_name(parent->origin)))
        report_format(job, parent->address, OUTCOME_BOUNCED, "5.7.1", "mail to command is restricted");
    else
        last_command(job, parent, arena_string(job->arena, slice_trim(text)), false, parent->owner);
}

static void to_file(struct job *job, const struct target *parent, struct slice path)
{
    if (!list_has(job->params->allow_mail_to_files, origin_name(parent->origin)))
        report_format(job, parent->address, OUTCOME_BOUNCED, "5.7.1", "mail to file is restricted");
    else
        last_file(job, parent, arena_string(job->arena, path));
}

/* ---- :include: ---- */

static bool read_include(struct job *job, const struct target *parent, const char *path, struct buffer *text, struct target *member)
{
    struct stat info;
    char *piece = arena_alloc(job->arena, INCLUDE_PIECE); /* not on the stack: include files nest */
    ssize_t n = 0;

    uid_t uid = parent->rights.uid != 0 ? parent->rights.uid : job->params->default_uid;
    gid_t gid = parent->rights.uid != 0 ? parent->rights.gid : job->params->default_gid;
    if (service_become(uid, gid) < 0)
        return false;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int error = errno;
    service_become_root();
    if (fd < 0) {
        log_warning("unable to lookup :include: file %s: %s", path, strerror(error));
        return false;
    }
    bool good = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    if (!good)
        log_warning(":include: file %s is not a regular file", path);
    else if (!(good = !(info.st_mode & S_IWOTH)))
        log_warning(":include: file %s is world writable", path);
    while (good && (n = read(fd, piece, INCLUDE_PIECE)) > 0)
        good = text->len + (size_t)n <= INCLUDE_MAX && buffer_append(text, piece, (size_t)n);
    close(fd);
    /* a file of an ordinary user narrows the rights of a table owned by root */
    if (good && parent->rights.uid == job->params->default_uid && info.st_uid != 0)
        member->rights = (struct account){.uid = info.st_uid, .gid = info.st_gid};
    return good && n >= 0;
}

static void to_include(struct job *job, const struct target *parent, struct slice name)
{
    struct target member = *parent;
    struct buffer text = BUFFER_INIT_MAX(INCLUDE_MAX);
    const char *path = arena_string(job->arena, slice_trim(name));

    member.origin = ORIGIN_INCLUDE;
    member.level++;
    if (member.level > INCLUDE_LEVEL_MAX) {
        report_format(job, parent->address, OUTCOME_BOUNCED, "5.4.6", ":include: nesting limit exceeded");
    } else if (path[0] != '/') {
        log_warning(":include:%s uses a relative path", path);
        report_format(job, parent->address, OUTCOME_BOUNCED, "5.3.5", "mail system configuration error");
    } else if (seen(job, "include", slice_of(path), parent->rights.uid)) {
        log_debug("duplicate :include:%s", path);
    } else if (!read_include(job, parent, path, &text, &member)) {
        report_format(job, parent->address, OUTCOME_BOUNCED, "5.3.5", "mail system configuration error");
    } else if (!list_has(job->params->propagate_unmatched_extensions, SLICE("include"))) {
        member.extension = (struct slice){0};
        members_deliver(job, &member, buffer_slice(&text), true);
    } else {
        members_deliver(job, &member, buffer_slice(&text), true);
    }
    buffer_release(&text);
}

/* ---- addresses ---- */

/* to_address - a member that is an address: rewritten, resolved; ours is delivered here, the rest is sent on. */
static void to_address(struct job *job, const struct target *parent, struct slice address, bool own_mailbox)
{
    struct target member = *parent;
    struct route_result resolved;
    struct slice extension = parent->extension;

    /* a copy: the text of an include file is gone before what it names is sent on */
    address = arena_slice(job->arena, route_rewrite(job->route, SLICE("local"), address, job->arena));
    if (extension.len > 0) {
        struct mail_address parts;
        mail_address_split(address, job->arena, &parts);
        address = mail_address_join(arena_format(job->arena, SLICE_FORMAT "%c" SLICE_FORMAT, SLICE_ARGS(parts.local_part),
                                                 job->params->recipient_delimiter[0], SLICE_ARGS(extension)), parts.domain, job->arena);
    }
    route_resolve(job->route, job->sender, address, false, job->arena, &resolved);
    if (resolved.flags & ROUTE_TRY_AGAIN) {
        report_format(job, parent->address, OUTCOME_DEFERRED, "4.3.0", "address resolver failure");
        return;
    }
    if (resolved.flags & ROUTE_BAD_SYNTAX) {
        report_format(job, parent->address, OUTCOME_BOUNCED, "5.1.3", "bad recipient address syntax: " SLICE_FORMAT,
                      SLICE_ARGS(mail_address_internal(address, job->arena)));
        return;
    }
    member.extension = (struct slice){0};
    target_init(job, &member, address);
    if (!slice_equal(resolved.transport, slice_of(job->delivery->context->service_name))) {
        forward_add(job, address);
        return;
    }
    member.no_aliases = own_mailbox;
    member.no_forward = own_mailbox;
    /* own name in one's own .forward is the mailbox */
    if (parent->origin == ORIGIN_FORWARD && parent->owner != NULL && slice_equal(slice_of(parent->owner->name), member.user))
        member.no_aliases = member.no_forward = true;
    if (own_mailbox && parent->origin == ORIGIN_ALIAS)
        member.origin = ORIGIN_REQUEST;
    target_deliver(job, &member);
}

static struct slice home_path(struct job *job, const struct target *parent, struct slice item)
{
    if (parent->owner == NULL || parent->owner->home == NULL) {
        log_warning("unknown home directory for: " SLICE_FORMAT, SLICE_ARGS(item));
        return (struct slice){0};
    }
    return arena_format(job->arena, "%s" SLICE_FORMAT, parent->owner->home, SLICE_ARGS(slice_from(item, 1)));
}

/* to_home - a file below the home directory of whose .forward it is. */
static void to_home(struct job *job, const struct target *parent, struct slice item)
{
    struct slice path = {0};
    if (slice_starts(item, SLICE("~/")))
        path = home_path(job, parent, item);
    else
        log_warning("bad home directory syntax for: " SLICE_FORMAT, SLICE_ARGS(item));
    if (path.len > 0)
        to_file(job, parent, path);
    else
        report_format(job, parent->address, OUTCOME_BOUNCED, "5.3.5", "mail system configuration error");
}

static size_t to_addresses(struct job *job, const struct target *parent, struct slice item)
{
    struct slice *addresses;
    size_t count = address_list_addresses(item, 10000, job->arena, &addresses);

    for (size_t i = 0; i < count; i++)
        to_address(job, parent, addresses[i], false);
    return count;
}

static size_t deliver_item(struct job *job, const struct target *parent, struct slice item)
{
    struct slice plain = unquoted(job, item);

    if (slice_starts(plain, SLICE("|")))
        to_command(job, parent, slice_from(plain, 1));
    else if (slice_starts_case(plain, SLICE(":include:")))
        to_include(job, parent, slice_from(plain, 9));
    else if (slice_starts(plain, SLICE("/")))
        to_file(job, parent, plain);
    else if (slice_starts(plain, SLICE("~")))
        to_home(job, parent, plain);
    else if (slice_starts(plain, SLICE("\\")))
        to_address(job, parent, slice_from(plain, 1), true);
    else
        return to_addresses(job, parent, item);
    return 1;
}

size_t members_deliver(struct job *job, const struct target *parent, struct slice text, bool in_file)
{
    struct slice rest = text, item;
    size_t count = 0;

    while (next_item(&rest, in_file, &item))
        count += deliver_item(job, parent, item);
    return count;
}
