/* alias.c - aliases(5) */
#include "local.h"

#include <sys/stat.h>

#include "address/mail_address.h"
#include "base/log.h"

/* table_owner - who owns the table's file; root when it has none.  (Nothing large on the stack: aliases nest a hundred deep.) */
static uid_t table_owner(struct arena *arena, const struct table *table)
{
    static const char *const suffixes[] = {".db", ".lmdb", ".cdb", ""};
    struct slice type, path;
    struct stat info;

    if (!slice_cut(slice_of(table_name(table)), ':', &type, &path) || path.len == 0 || path.data[0] != '/')
        return 0;
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        if (stat(arena_printf(arena, SLICE_FORMAT "%s", SLICE_ARGS(path), suffixes[i]), &info) == 0)
            return info.st_uid;
    }
    return 0;
}

/* set_rights - files and commands of an alias run as the owner of the table, root's as default_privs. */
static void set_rights(struct job *job, struct target *member, uid_t owner)
{
    struct passwd entry, *found = NULL;
    char *memory = arena_alloc(job->arena, 16384);

    member->rights = (struct account){.uid = job->params->default_uid, .gid = job->params->default_gid};
    if (owner != 0 && getpwuid_r(owner, &entry, memory, 16384, &found) == 0 && found != NULL)
        member->rights = (struct account){.uid = entry.pw_uid, .gid = entry.pw_gid};
}

/* lookup - the alias for a local part: with extension, then without.  *extension tells whether the extension was not part of the key. */
static enum table_result lookup(const struct target *target, struct buffer *value, struct table **table, bool *unmatched, bool *own)
{
    struct slice keys[2] = {target->local, target->user};
    size_t count = target->extension.len > 0 ? 2 : 1;

    for (size_t k = 0; k < count; k++) {
        if (slice_equal_case(keys[k], target->own_alias)) {
            *own = true;
            continue;
        }
        for (size_t i = 0; i < table_list_count(local_alias_maps); i++) {
            *table = table_list_at(local_alias_maps, i);
            enum table_result result = table_lookup(*table, keys[k], value);
            if (result != TABLE_NOT_FOUND) {
                *unmatched = k == 1;
                return result;
            }
        }
    }
    return TABLE_NOT_FOUND;
}

static bool has_alias(struct slice name, struct buffer *value)
{
    return table_list_lookup(local_alias_maps, name, true, value) == TABLE_FOUND;
}

/* use_owner - an alias owner-NAME takes over as sender, and members get messages of their own. */
static void use_owner(struct job *job, const struct target *target, struct target *member)
{
    struct buffer value = BUFFER_INIT;
    struct slice owner = arena_format(job->arena, "owner-" SLICE_FORMAT, SLICE_ARGS(target->user));

    if (!job->params->owner_request_special || slice_starts_case(target->user, SLICE("owner-")) || slice_ends_case(target->user, SLICE("-request")) ||
        !has_alias(owner, &value)) {
        buffer_release(&value);
        return;
    }
    if (job->params->expand_owner_alias)
        job->sender = route_rewrite(job->route, SLICE("local"), arena_slice(job->arena, slice_trim(buffer_slice(&value))), job->arena);
    else
        job->sender = route_rewrite(job->route, SLICE("local"), owner, job->arena);
    member->resubmit = true;
    buffer_release(&value);
}

static void expand(struct job *job, struct target *target, struct slice text, struct table *table, bool unmatched)
{
    struct slice kept_sender = job->sender, kept_delivered = job->delivered;
    struct target member = {.origin = ORIGIN_ALIAS, .level = target->level + 1, .owner = target->owner, .resubmit = target->resubmit,
                            .own_alias = unmatched ? target->user : target->local};

    if (unmatched && config_list_has(job->params->propagate_unmatched_extensions, "alias"))
        member.extension = target->extension;
    set_rights(job, &member, table_owner(job->arena, table));
    use_owner(job, target, &member);
    member.address = target->address;
    bool tells = report_expansion_begin(job);
    if (!job->params->frozen_delivered_to)
        job->delivered = target->address;
    if (members_deliver(job, &member, text, false) == 0) {
        log_warning("no recipient in alias lookup result for " SLICE_FORMAT, SLICE_ARGS(target->user));
        report_format(job, target->address, OUTCOME_DEFERRED, "4.3.0", "alias database unavailable");
    }
    if (tells || forward_is_due(job, target))
        forward_flush(job);
    if (tells)
        report_expansion_end(job, target->address, slice_equal(job->sender, kept_sender) ? "expanded" : "delivered");
    job->sender = kept_sender;
    job->delivered = kept_delivered;
}

bool alias_deliver(struct job *job, struct target *target)
{
    struct buffer value = BUFFER_INIT;
    struct table *table = NULL;
    bool unmatched = false, own = false;
    enum table_result result = lookup(target, &value, &table, &unmatched, &own);

    if (result == TABLE_NOT_FOUND) {
        buffer_release(&value);
        if (own) /* the alias names itself: its own mailbox is meant */
            target->no_forward = target->no_forward || target->origin == ORIGIN_FORWARD;
        return false;
    }
    if (result == TABLE_TRY_AGAIN)
        report_format(job, target->address, OUTCOME_DEFERRED, "4.3.0", "alias database unavailable");
    else if (job->address_probe)
        report_format(job, target->address, OUTCOME_SENT, "2.0.0", "aliased to " SLICE_FORMAT, SLICE_ARGS(slice_trim(buffer_slice(&value))));
    else if (!seen(job, "alias", target->user, 0) || target->level > 0)
        expand(job, target, arena_slice(job->arena, buffer_slice(&value)), table, unmatched);
    buffer_release(&value);
    return true;
}
