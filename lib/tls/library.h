/* library.h (tls) - how OpenSSL itself is configured: tls_config_file, tls_config_name */
#ifndef POSTERN_TLS_LIBRARY_H
#define POSTERN_TLS_LIBRARY_H

#include "base/base.h"

/* tls_library_configure - before anything else uses the library; later calls do nothing.  file: "default", "none", or a path; name: of the section that is
   for us, "" or one that the file does not have: the section for all.  What cannot be loaded is logged, and TLS is not available. */
void tls_library_configure(const char *file, const char *name);
/* tls_library_is_good - false after a failure of the above. */
bool tls_library_is_good(void);

#endif
