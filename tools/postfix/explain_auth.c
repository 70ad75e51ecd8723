/* explain_auth.c - `postfix explain auth USER`: the way of a login, and where it ends */
#include <getopt.h>
#include <termios.h>

#include "base/log.h"
#include "conf/master_cf.h"
#include "control.h"
#include "explain.h"
#include "run/run.h"
#include "sasl/client.h"
#include "sasl/server.h"
#include "service/sandbox.h"
#include "table/match.h"

static const char usage[] = "usage: postfix explain auth [--service name] [--mechanism name] [--clear] user";

enum { PASSWORD_MAX = 1024 };

struct auth_story {
    struct control *control;
    const char *user, *service, *mechanism; /* the latter two NULL: not given */
    bool clear;                             /* as without TLS */
    struct config *config;                  /* of the service that is tried; NULL: there is none */
    struct sasl_server *server;             /* its back end */
    const char *tried;
    char password[PASSWORD_MAX];
    int status;
};

/* ---- the services ---- */

static struct config *config_of(const struct auth_story *story, const struct master_service *service)
{
    struct config *config = config_copy_quiet(story->control->config);
    struct slice name, value;
    size_t at = 0;

    config_set(config, SLICE("process_name"), SLICE("smtpd"));
    config_set(config, SLICE("service_name"), slice_of(service->name));
    while (master_cf_next_setting(service, &at, &name, &value))
        config_set(config, name, value);
    return config;
}

/* become - sockets are reached with the rights of the server, not with root's. */
static void become(struct config *config)
{
    struct sandbox_owner owner;

    if (geteuid() == 0 && sandbox_owner_find(config, &owner) && (setegid(owner.gid) < 0 || seteuid(owner.uid) < 0))
        explain_note("(tried with the rights of root: %s)", strerror(errno));
}

static void become_root(void)
{
    if (getuid() == 0 && (seteuid(0) < 0 || setegid(0) < 0))
        say_fatal("seteuid: %s", strerror(errno));
}

static struct sasl_server *open_back_end(struct config *config)
{
    struct sasl_server_settings settings = {config_string(config, "smtpd_sasl_type"), config_string(config, "smtpd_sasl_path"),
                                            config_string(config, "smtpd_sasl_service"), config_string(config, "smtpd_sasl_local_domain"), config};

    return sasl_server_new(&settings);
}

/* offered - append the mechanisms that a session may use under these rules, each after a blank; false: the back end is down. */
static bool offered(struct config *config, struct sasl_server *server, struct sasl_security security, struct buffer *shown)
{
    struct match_list *filter = match_list_new("smtpd_sasl_mechanism_filter", config_string(config, "smtpd_sasl_mechanism_filter"), MATCH_STRING_LIST, config);
    struct buffer all = BUFFER_INIT;
    struct slice rest, name;

    bool up = sasl_server_mechanisms(server, security, &all);
    for (rest = buffer_slice(&all); slice_next_token(&rest, " ", &name);)
        if (match_list_is_empty(filter) || match_string(filter, name) == MATCH_YES)
            buffer_printf(shown, " " SLICE_FORMAT, SLICE_ARGS(name));
    buffer_release(&all);
    match_list_free(filter);
    return up;
}

/* print_mechanisms - those that a session may use by the options of that parameter. */
static void print_mechanisms(struct config *config, struct sasl_server *server, const char *parameter, const char *when)
{
    struct buffer shown = BUFFER_INIT;

    bool up = offered(config, server, sasl_security_parse(config_string(config, parameter), parameter), &shown);
    explain_note("%s:%s (%s)", when, !up ? " nothing, the back end is down" : shown.len ? buffer_string(&shown) : " nothing", parameter);
    buffer_release(&shown);
}

static bool has_tls(struct config *config)
{
    const char *level = config_string(config, "smtpd_tls_security_level");

    return config_bool(config, "smtpd_tls_wrappermode") || (level[0] ? strcasecmp(level, "none") != 0 : config_bool(config, "smtpd_use_tls"));
}

static bool needs_tls(struct config *config)
{
    const char *level = config_string(config, "smtpd_tls_security_level");

    return config_bool(config, "smtpd_tls_auth_only") || config_bool(config, "smtpd_tls_wrappermode") ||
           (level[0] && strcasecmp(level, "none") != 0 && strcasecmp(level, "may") != 0);
}

static void tell_service(struct auth_story *story, struct config *config, const char *name)
{
    if (!config_bool(config, "smtpd_sasl_auth_enable")) {
        explain_step("service %s: clients cannot log in: smtpd_sasl_auth_enable = no", name);
        return;
    }
    struct sasl_server *server = open_back_end(config);
    explain_step("service %s: back end %s", name, sasl_server_name(server));
    become(config);
    if (needs_tls(config))
        explain_note("without TLS: nothing (smtpd_tls_auth_only, or TLS is demanded)");
    else
        print_mechanisms(config, server, "smtpd_sasl_security_options", "without TLS");
    if (has_tls(config))
        print_mechanisms(config, server, "smtpd_sasl_tls_security_options", "with TLS");
    else
        explain_note("with TLS: nothing, there is no TLS (smtpd_tls_security_level)");
    become_root();
    if (story->config) {
        sasl_server_free(server);
        return;
    }
    story->config = config;
    story->server = server;
    story->tried = name;
}

static void tell_services(struct auth_story *story)
{
    struct master_cf services;

    if (!master_cf_load(config_directory(story->control->config), story->control->config, story->control->memory, config_ignore_problem, NULL, &services))
        say_fatal("master.cf cannot be read");
    for (size_t i = 0; i < services.count; i++) {
        const struct master_service *service = &services.services[i];
        if ((service->type != SERVICE_INET && service->type != SERVICE_PASS) || strcmp(service->command, "smtpd") != 0)
            continue;
        if (story->service && strcmp(service->name, story->service) != 0)
            continue;
        struct config *config = config_of(story, service);
        tell_service(story, config, service->name);
        if (story->config != config)
            config_free(config);
    }
}

/* ---- the attempt ---- */

/* read_password - one line, not shown when it is typed. */
static void read_password(struct auth_story *story)
{
    struct termios before, hidden;
    bool typed = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;

    if (typed) {
        hidden = before;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        fprintf(stderr, "Password of %s: ", story->user);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    if (!fgets(story->password, sizeof(story->password), stdin))
        story->password[0] = '\0';
    if (typed) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    story->password[strcspn(story->password, "\r\n")] = '\0';
}

static struct slice choose(const struct auth_story *story, struct sasl_server *server, const struct sasl_peer *peer)
{
    struct buffer names = BUFFER_INIT;

    if (story->mechanism)
        return slice_of(story->mechanism);
    offered(story->config, server, peer->security, &names);
    struct slice chosen = arena_slice(story->control->memory, sasl_client_choose(buffer_slice(&names), (struct sasl_security){0}, false));
    buffer_release(&names);
    return chosen.len ? chosen : SLICE("PLAIN");
}

/* converse - both halves of the exchange, as client and server would have it. */
static void converse(struct sasl_server *server, struct slice mechanism, const struct sasl_peer *peer, const struct sasl_credentials *credentials,
                     struct arena *arena, struct sasl_answer *answer)
{
    struct sasl_exchange *exchange = sasl_exchange_new(server, mechanism, peer);
    struct sasl_client *client = sasl_client_new(mechanism, credentials);
    struct buffer response = BUFFER_INIT;

    bool has_response = sasl_client_begin(client, &response);
    sasl_exchange_step(exchange, has_response, buffer_slice(&response), answer);
    while (answer->outcome == SASL_CONTINUE) {
        buffer_clear(&response);
        if (!sasl_client_step(client, answer->challenge, &response)) {
            *answer = (struct sasl_answer){.outcome = SASL_FAILED, .layer = SASL_LAYER_ENCODING};
            break;
        }
        sasl_exchange_step(exchange, true, buffer_slice(&response), answer);
    }
    answer->user = arena_slice(arena, answer->user);
    buffer_release(&response);
    sasl_client_free(client);
    sasl_exchange_free(exchange);
}

static void tell_outcome(struct auth_story *story, const struct sasl_answer *answer)
{
    if (answer->outcome == SASL_OK) {
        explain_step("=> accepted as " SLICE_FORMAT, SLICE_ARGS(answer->user));
        story->status = 0;
        return;
    }
    explain_step("=> %s, layer %s: %s", answer->outcome == SASL_TEMPORARY ? "not now (454)" : "refused (535)", sasl_layer_name(answer->layer),
                 sasl_layer_meaning(answer->layer));
    explain_note("what mends it: %s", sasl_layer_mend(answer->layer));
}

static void try_password(struct auth_story *story)
{
    struct config *config = story->config;
    struct sasl_security clear = sasl_security_parse(config_string(config, "smtpd_sasl_security_options"), "smtpd_sasl_security_options");
    struct sasl_security encrypted = sasl_security_parse(config_string(config, "smtpd_sasl_tls_security_options"), "smtpd_sasl_tls_security_options");
    struct sasl_peer peer = {"127.0.0.1", "127.0.0.1", !story->clear, story->clear ? clear : encrypted, encrypted};
    struct sasl_credentials credentials = {.user = slice_of(story->user), .password = slice_of(story->password)};
    struct sasl_server *server = story->server;
    struct sasl_answer answer;

    if (story->clear && needs_tls(config)) {
        answer = (struct sasl_answer){.outcome = SASL_FAILED, .layer = SASL_LAYER_CLEARTEXT};
    } else {
        struct slice mechanism = choose(story, server, &peer);
        explain_step(SLICE_FORMAT " at %s, as service %s %s TLS", SLICE_ARGS(mechanism), sasl_server_name(server), story->tried,
                     story->clear ? "without" : "with");
        converse(server, mechanism, &peer, &credentials, story->control->memory, &answer);
    }
    tell_outcome(story, &answer);
}

static void tell_all(void *arg)
{
    struct auth_story *story = arg;

    tell_services(story);
    if (!story->config) {
        explain_step("=> no service%s%s lets clients log in", story->service ? " " : "", story->service ? story->service : "");
        return;
    }
    read_password(story);
    become(story->config);
    try_password(story);
    explicit_bzero(story->password, sizeof(story->password));
    sasl_server_free(story->server);
    config_free(story->config);
    fflush(stdout);
}

int explain_auth(struct control *control)
{
    static const struct option options[] = {{"service", 1, NULL, 's'}, {"mechanism", 1, NULL, 'm'}, {"clear", 0, NULL, 'c'}, {NULL, 0, NULL, 0}};
    struct auth_story story = {.control = control, .status = 1};
    int letter;

    optind = 0;
    while ((letter = getopt_long((int)control->argument_count, (char *const *)control->arguments, "", options, NULL)) > 0) {
        switch (letter) {
        case 's': story.service = optarg; break;
        case 'm': story.mechanism = optarg; break;
        case 'c': story.clear = true; break;
        default: say_fatal("%s", usage);
        }
    }
    if (optind + 1 != (int)control->argument_count)
        say_fatal("%s", usage);
    story.user = control->arguments[optind];
    if (chdir(config_string(control->config, "queue_directory")) < 0) /* paths of sockets are relative to it */
        say_fatal("%s: %s", config_string(control->config, "queue_directory"), strerror(errno));
    run_main(tell_all, &story);
    return story.status;
}
