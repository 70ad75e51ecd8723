/* library.c - loading client libraries */
#include <dlfcn.h>

#include "table/library.h"

bool library_find(const char *type, const struct library *library, struct buffer *why)
{
    void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        buffer_printf(why, "unsupported dictionary type: %s: is the package %s installed? (%s)", type, library->package, dlerror());
        return false;
    }
    for (const struct library_symbol *symbol = library->symbols; symbol->name; symbol++) {
        void *found = dlsym(handle, symbol->name);
        if (!found) {
            buffer_printf(why, "unsupported dictionary type: %s: %s has no %s: is the package %s too old?", type, library->file, symbol->name,
                          library->package);
            dlclose(handle);
            return false;
        }
        memcpy(symbol->where, &found, sizeof(found));
    }
    /* Never unloaded: what was found stays in use, and one more reference does no harm. */
    return true;
}

bool library_load(struct table *table, const struct library *library)
{
    buffer_clear(&table->why);
    return library_find(table->driver->type, library, &table->why);
}

bool library_not_built(struct table *table, const char *package)
{
    table_fail(table, "unsupported dictionary type: %s: this program was built without %s", table->driver->type, package);
    return false;
}
