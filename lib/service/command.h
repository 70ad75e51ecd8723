/* command.h - what every command's main() stands on: -c and MAIL_CONFIG, messages to stderr and the log (compat.md j.1) */
#ifndef POSTERN_SERVICE_COMMAND_H
#define POSTERN_SERVICE_COMMAND_H

#include "conf/config.h"

/* command_start - name as in messages ("postsuper"), tag "postfix/NAME" for the log; umask 022, descriptors 0-2 opened, unsafe environment of set-gid
   programs cleaned (import_environment), log to stderr.  command_config - load main.cf of DIRECTORY (NULL: MAIL_CONFIG or default; for set-gid
   commands by non-root checked against alternate_config_directories), open the log (syslog or maillog_file, when to_log) besides stderr. */
void command_start(const char *name);
struct config *command_config(const char *directory, bool to_log) MUST_CHECK;
/* command_help - when the first argument is --help: print the text and exit with status 0.  An option is a line that begins with two blanks and
   "-"; conf/completion/postern reads them from there. */
void command_help(int argc, char **argv, const char *text);
/* command_queue_directory - chdir to queue_directory (fatal when impossible). */
void command_queue_directory(struct config *config);
/* command_user_allowed - ACL user syntax (authorized_*_users); root and mail_owner always. */
bool command_user_allowed(struct config *config, const char *parameter, uid_t uid);
const char *command_user_name(uid_t uid); /* "unknown" */

#endif
