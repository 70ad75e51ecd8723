/* config_file.h - reading a configuration file as a whole */
#ifndef POSTERN_CONF_CONFIG_FILE_H
#define POSTERN_CONF_CONFIG_FILE_H

#include "base/buffer.h"

/* config_read_file - the whole file (at most 16 MiB) appended to text; false with errno. */
bool config_read_file(const char *path, struct buffer *text);

#endif
