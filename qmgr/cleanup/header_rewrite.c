/* header_rewrite.c - the addresses of a header field in their new form: completed, mapped, masqueraded */
#include "transaction.h"

struct rewriting {
    struct transaction *t;
    int class;
};

static bool rewrite_address(void *context, struct slice *address)
{
    const struct rewriting *r = context;
    *address = route_rewrite(r->t->cleanup->route, r->t->rewrite_context, *address, r->t->arena);
    return address_map(r->t, r->class, address);
}

/* within_limit - a field that grew: as many of its lines as header_size_limit allows, where a line end counts as one byte. */
static struct slice within_limit(const struct transaction *t, struct slice field)
{
    size_t limit = (size_t)t->cleanup->params.header_size_limit, end = slice_find(field, '\r'), lines = 0;
    if (field.len <= limit)
        return field;
    while (end < field.len) {
        size_t next = end + 2 + slice_find(slice_from(field, end + 2), '\r');
        if (next - ++lines > limit)
            return slice_first(field, end);
        end = next;
    }
    return field;
}

struct slice header_rewrite(struct transaction *t, struct slice text, struct slice name, int class)
{
    struct rewriting r = {t, class};
    struct slice ignored, value, field;
    if (!header_parse(text, &ignored, &value))
        return text;
    size_t limit = (size_t)t->cleanup->params.header_address_token_limit;
    return address_header_map(name, value, limit, rewrite_address, &r, t->arena, &field) ? within_limit(t, field) : text;
}
