/* show_lists.c - postconf -a -A -b -l -m -t -T: what this build can do, bounce templates */
#include <openssl/crypto.h>
#include <openssl/opensslv.h>

#include "base/log.h"
#include "conf/bounce_templates.h"
#include "postconf.h"
#include "table/table.h"

static void print_lines(const char *const *lines)
{
    for (; *lines != NULL; lines++)
        puts(*lines);
}

static void show_table_types(void)
{
    const char *type;
    for (size_t i = 0; (type = table_type_at(i)) != NULL; i++)
        puts(type);
}

/* show_templates - source: as written (-t), else expanded (-b). */
static void show_templates(struct postconf *pc, const char *path, bool source)
{
    struct bounce_template templates[BOUNCE_TEMPLATE_COUNT];
    struct buffer out = BUFFER_INIT, text = BUFFER_INIT;
    if (path == NULL)
        path = config_string(pc->config, "bounce_template_file");
    if (path[0] != '\0' && access(path, R_OK) < 0)
        log_fatal("open %s: %s", path, strerror(errno));
    bounce_templates_load(path, pc->arena, templates);
    bool standard = strcmp(config_string(pc->config, "header_from_format"), "standard") == 0;
    for (int kind = 0; kind < BOUNCE_TEMPLATE_COUNT; kind++) {
        if (kind > 0)
            putchar('\n');
        buffer_clear(&out);
        buffer_clear(&text);
        if (source) {
            if (standard && templates[kind].from == bounce_template_builtin((enum bounce_template_kind)kind)->from)
                templates[kind].from = "Mail Delivery System <MAILER-DAEMON>";
            bounce_template_print(&templates[kind], slice_of(templates[kind].text), "template", &out);
        } else {
            if (!bounce_template_expand(pc->config, &templates[kind], &text))
                bounce_template_expand(pc->config, bounce_template_builtin((enum bounce_template_kind)kind), &text);
            buffer_printf(&out, "expanded_%s_text = <<EOF\n", templates[kind].name);
            buffer_append_slice(&out, buffer_slice(&text));
            if (out.data[out.len - 1] != '\n')
                buffer_append_byte(&out, '\n');
            buffer_append_string(&out, "EOF\n");
        }
        fwrite(out.data, 1, out.len, stdout);
    }
    buffer_release(&out);
    buffer_release(&text);
}

static void show_tls(const char *mode)
{
    static const char *const algorithms[] = {"dsa", "ecdsa", "rsa", NULL};
    if (strcmp(mode, "compile-version") == 0)
        puts(OPENSSL_VERSION_TEXT);
    else if (strcmp(mode, "run-version") == 0)
        puts(OpenSSL_version(OPENSSL_VERSION));
    else if (strcmp(mode, "public-key-algorithms") == 0)
        print_lines(algorithms);
    else {
        log_warning("unknown 'postconf -T' mode: %s", mode);
        exit(1);
    }
}

void show_lists(struct postconf *pc, char **arguments, int count)
{
    static const char *const server_sasl[] = {"cyrus", "dovecot", "file", NULL}, *const client_sasl[] = {"cyrus", NULL},
                      *const locks[] = {"flock", "fcntl", "dotlock", NULL};
    if ((pc->options & (OPTION_b | OPTION_t)) && count > 1)
        log_fatal("options -b and -t require at most one template file");
    if (pc->options & OPTION_a)
        print_lines(server_sasl);
    else if (pc->options & OPTION_A)
        print_lines(client_sasl);
    else if (pc->options & OPTION_l)
        print_lines(locks);
    else if (pc->options & OPTION_m)
        show_table_types();
    else if (pc->options & OPTION_T)
        show_tls(pc->tls_mode);
    else
        show_templates(pc, count > 0 ? arguments[0] : NULL, (pc->options & OPTION_t) != 0);
}
