/* damaged.h - what qmgr has set aside in corrupt/: the bytes of a record, named after its place */
#ifndef POSTERN_TOOLS_POSTCAT_DAMAGED_H
#define POSTERN_TOOLS_POSTCAT_DAMAGED_H

#include "print.h"

/* damaged_show - false when the file is none of those.  Shows the message where it can be read, else what is left of it as text. */
bool damaged_show(int fd, const char *name, const struct print_options *options);

#endif
