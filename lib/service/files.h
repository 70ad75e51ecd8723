/* files.h (service) - opening files again after the sandbox has closed: master does it, for paths it was told of before */
#ifndef POSTERN_SERVICE_FILES_H
#define POSTERN_SERVICE_FILES_H

#include "base/base.h"

/* service_announce_file - before the sandbox closes (a program's open hook): a number for service_open_file, -1 when there are too many. */
int service_announce_file(const char *path);
/* service_open_file - the announced file as it is now, open for reading; -1 with errno.  One fiber at a time asks for one number.  Waits. */
int service_open_file(int number);

#endif
