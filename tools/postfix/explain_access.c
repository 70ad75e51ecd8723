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
    int status = run_program(program_path(e->control, "daemon_directory", "smtpd"), words);
    e->failed |= status > 1;
    return status == 0;
}
