/* explain_access.c - what access control says: asked of smtpd itself, so that it is what smtpd would do */
#include "control.h"
#include "explain.h"

enum { WORDS_MAX = 16 };

static void add(const char **words, size_t *n, const char *option, const char *value)
{
    if (!value)
        return;
    words[(*n)++] = option;
    words[(*n)++] = value;
}

/* smtpd_path - that of daemon_directory; in the build tree the one beside this command, since before the installation daemon_directory is Postfix's. */
static const char *smtpd_path(struct control *control)
{
    static const char end[] = "/bin/postfix";
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
    if (n > (ssize_t)strlen(end) && n < (ssize_t)sizeof(self) && memcmp(self + n - strlen(end), end, strlen(end)) == 0) {
        const char *beside = arena_printf(control->memory, "%.*s/sbin/smtpd", (int)(n - (ssize_t)strlen(end)), self);
        if (access(beside, X_OK) == 0)
            return beside;
    }
    return program_path(control, "daemon_directory", "smtpd");
}

bool explain_access(struct explain *e)
{
    const char *words[WORDS_MAX] = {"smtpd", "--explain"};
    size_t n = 2;
    add(words, &n, "--client", e->client);
    add(words, &n, "--sasl", e->sasl_user);
    add(words, &n, "--helo", e->helo);
    add(words, &n, "--service", e->service);
    add(words, &n, "--sender", e->sender);
    words[n++] = "--";
    words[n++] = e->recipient;
    fflush(stdout);
    int status = run_program(smtpd_path(e->control), words);
    e->failed |= status > 1;
    return status == 0;
}
