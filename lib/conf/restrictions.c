/* restrictions.c - see restrictions.h */
#include "conf/restrictions.h"

#include "conf/config_private.h"

static const struct {
    const char *name;
    enum restriction_argument argument;
} rows[] = {
#define RESTRICTION(name, argument, needs, check, detail) {name, RESTRICTION_##argument},
#include "conf/restrictions.def"
#undef RESTRICTION
};

bool restriction_known(struct slice name, enum restriction_argument *argument)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (slice_equal_case(name, slice_of(rows[i].name))) {
            if (argument != NULL)
                *argument = rows[i].argument;
            return true;
        }
    return false;
}

static const char *name_at(size_t index)
{
    return index < COUNT_OF(rows) ? rows[index].name : NULL;
}

const char *restriction_nearest(struct slice name)
{
    return name_nearest(name, name_at);
}
