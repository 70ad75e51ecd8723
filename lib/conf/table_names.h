/* table_names.h - table types that are configured by "name = value" settings: which settings, and where a value names such a table */
#ifndef POSTERN_CONF_TABLE_NAMES_H
#define POSTERN_CONF_TABLE_NAMES_H

#include "base/slice.h"

/* table_setting_at - the settings of a type ("ldap"), NULL past the end or when the type has none.  table_setting_known - is this one? */
const char *table_setting_at(struct slice type, size_t index);
bool table_setting_known(struct slice type, struct slice setting);
/* table_references - call found for each "type:name" in a value whose type has settings, also inside proxy:, pipemap:{} and unionmap:{}. */
void table_references(struct slice value, void (*found)(void *context, struct slice type, struct slice name), void *context);

#endif
