/* members.c - the items of an alias, of an :include: file, of a .forward file */
#include "local.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "address/mail_address.h"
#include "base/log.h"

#define INCLUDE_MAX (16 << 20)
#define INCLUDE_LEVEL_MAX 100
#define INCLUDE_PIECE 8192
#define WORDS_MAX 200000 /* of an alias, or of a line of a file */

static const char *origin_name(enum origin origin)
{
    return origin == ORIGIN_FORWARD ? "forward" : origin == ORIGIN_INCLUDE ? "include" : "alias";
}

static void to_command(struct job *job, const struct target *parent, struct slice text)
{
    if (!config_list_has(job->params->allow_mail_to_commands, origin_name(parent->origin)))
        report_format(job, parent->address, OUTCOME_BOUNCED, "5.7.1", "mail to command is restricted");
    else
        last_command(job, parent, arena_string(job->arena, text), false, parent->owner);
}

static void to_file(struct job *job, const struct target *parent, struct slice path)
{
    if (!config_list_has(job->params->allow_mail_to_files, origin_name(parent->origin)))
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
    } else if (!config_list_has(job->params->propagate_unmatched_extensions, "include")) {
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
    if (resolved.recipient.len > 0) /* without the routing steps that end here */
        address = arena_slice(job->arena, resolved.recipient);
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

/* to_own_mailbox - "\\name" is name without aliases and .forward file. */
static void to_own_mailbox(struct job *job, const struct target *parent, struct slice name)
{
    struct slice *addresses;
    size_t count = address_list_addresses(name, 0, job->arena, &addresses);

    for (size_t i = 0; i < count; i++)
        to_address(job, parent, addresses[i], true);
}

static void deliver_item(struct job *job, const struct target *parent, const struct address_token *item)
{
    struct slice plain = mail_address_internal(item->text, job->arena);

    if (slice_starts(plain, SLICE("|")))
        to_command(job, parent, slice_from(plain, 1));
    else if (slice_starts_case(plain, SLICE(":include:")))
        to_include(job, parent, slice_from(plain, 9));
    else if (slice_starts(plain, SLICE("/")))
        to_file(job, parent, plain);
    else if (slice_starts(plain, SLICE("~")))
        to_home(job, parent, plain);
    else if (slice_starts(plain, SLICE("\\")) || slice_starts(item->raw, SLICE("\\")))
        to_own_mailbox(job, parent, slice_from(slice_starts(plain, SLICE("\\")) ? plain : item->raw, 1));
    else
        to_address(job, parent, item->text, false);
}

/* deliver_items - an alias, or a line of a file: a list of addresses, of which some are commands and the like. */
static size_t deliver_items(struct job *job, const struct target *parent, struct slice text)
{
    struct address_token *items;
    size_t count, delivered = 0;

    if (!address_list_parse(text, WORDS_MAX, job->arena, &items, &count)) {
        report_format(job, parent->address, OUTCOME_DEFERRED, "4.3.0", "a list of more than %d words", WORDS_MAX);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].kind != ADDRESS_TOKEN_ADDRESS)
            continue;
        deliver_item(job, parent, &items[i]);
        delivered++;
    }
    return delivered;
}

/* next_line - a line of a file with those that continue it, which begin with a blank; comments are not lines. */
static bool next_line(struct slice *rest, struct slice *line)
{
    *line = slice_first(*rest, 0);
    while (rest->len > 0) {
        size_t end = slice_find(*rest, '\n');
        struct slice piece = slice_first(*rest, end), text = slice_trim(piece);
        bool continues = piece.len > text.len && text.len > 0 && text.data > piece.data;
        if (line->len > 0 && text.len > 0 && text.data[0] != '#' && !continues)
            return true;
        *rest = slice_from(*rest, end + 1);
        if (text.len == 0 || text.data[0] == '#') {
            if (line->len > 0)
                return true;
        } else {
            *line = line->len > 0 ? slice_make(line->data, (size_t)(text.data + text.len - line->data)) : text;
        }
    }
    return line->len > 0;
}

size_t members_deliver(struct job *job, const struct target *parent, struct slice text, bool in_file)
{
    struct slice rest = text, line;
    size_t count = 0;

    if (!in_file)
        return deliver_items(job, parent, text);
    while (next_line(&rest, &line))
        count += deliver_items(job, parent, line);
    return count;
}
