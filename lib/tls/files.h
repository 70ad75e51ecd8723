/* files.h (tls) - files of keys and certificates: read at start, looked at again while the process runs

   A process in its sandbox can open nothing.  Whoever may opens the file for it (master): an access says how. */
#ifndef POSTERN_TLS_FILES_H
#define POSTERN_TLS_FILES_H

#include <sys/stat.h>

#include "base/buffer.h"

/* How files are opened again.  announce - before the sandbox closes: a number for the path, -1 when it cannot be opened later (no more than that).
   open - an open descriptor of an announced file as it is now, -1 with errno.  Waits.  outdated - what can only be read by a new process has changed; NULL:
   nobody wants to know. */
struct tls_file_access {
    int (*announce)(const char *path);
    int (*open)(int number);
    void (*outdated)(const char *why);
};

struct tls_file {
    const char *path;      /* memory of the caller */
    int number;            /* of the access; -1: never looked at again */
    struct stat identity;  /* of what was read last */
    struct buffer content; /* until tls_file_forget */
};

/* tls_file_open - the first reading; false with errno when the file cannot be read. */
bool tls_file_open(struct tls_file *file, const char *path, const struct tls_file_access *access);
/* tls_file_refresh - read it again if it is not what was read last.  1: there is new content, 0: nothing new, -1: it cannot be read now (errno; the
   same trouble is told once).  Waits. */
int tls_file_refresh(struct tls_file *file, const struct tls_file_access *access);
/* tls_file_forget - wipe the content (it may hold a key). */
void tls_file_forget(struct tls_file *file);

#endif
