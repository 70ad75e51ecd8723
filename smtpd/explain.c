/* explain.c - see explain.h

   The rules are run as for a client, by the same code; nothing is sent, nothing is counted, and nobody is asked who would take it for a mail: policy
   servers, greylisting, block lists, probes of addresses, mail filters.  The DNS is asked about names. */
#include "explain.h"

#include <getopt.h>
#include <signal.h>

#include "access_private.h"
#include "address/mail_address.h"
#include "auth.h"
#include "base/log.h"
#include "conf/interfaces.h"
#include "conf/master_cf.h"
#include "run/run.h"
#include "service/command.h"
#include "service/dns_reply_filter.h"

enum { NAME_SHOWN = 60 /* of a table's name: inline tables are long */ };

/* What is asked. */
struct question {
    const char *client, *user, *helo, *sender, *recipient, *service; /* NULL: not given */
};

struct story {
    struct question question;
    struct server *server;
    struct session *session;
    struct arena *arena;
    bool open_line;      /* the name of a restriction stands there, its outcome does not */
    int if_permit, if_reject; /* codes of what waits for the outcome of the rest, told already */
    int status;
};

/* ---- telling ---- */

static void end_line(struct story *story)
{
    if (story->open_line)
        putchar('\n');
    story->open_line = false;
}

static void note(struct story *story, const char *format, ...) PRINTF_LIKE(2, 3);
static void note(struct story *story, const char *format, ...)
{
    va_list args;

    end_line(story);
    fputs("        ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* outcome - of the restriction whose name stands there. */
static void outcome(struct story *story, const char *format, ...) PRINTF_LIKE(2, 3);
static void outcome(struct story *story, const char *format, ...)
{
    va_list args;

    fputs(story->open_line ? ": " : "        -> ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    story->open_line = false;
}

static void take_log(enum log_severity severity, const char *text, void *context)
{
    static const char *const words[] = {[LOG_SEVERITY_WARNING] = "warning: ", [LOG_SEVERITY_ERROR] = "error: ", [LOG_SEVERITY_FATAL] = "fatal: "};
    const char *word = (size_t)severity < COUNT_OF(words) && words[severity] ? words[severity] : "log: ";

    note(context, "%s%s", strstr(text, word) == text ? "" : word, text);
}

static void take_lookup(void *context, const char *parameter, const struct table *table, struct slice key, enum table_result result,
                        struct slice value)
{
    struct story *story = context;
    struct slice name = slice_of(table_name(table)), shown = slice_first(name, NAME_SHOWN);
    const char *cut = name.len > NAME_SHOWN ? "..." : "";
    bool own = strchr(parameter, ':') != NULL; /* a table of a restriction is known by nothing else */
    const char *before = own ? "" : parameter, *blank = own ? "" : " ";

    if (result == TABLE_FOUND)
        note(story, "%s%s" SLICE_FORMAT "%s \"" SLICE_FORMAT "\": \"" SLICE_FORMAT "\"", before, blank, SLICE_ARGS(shown), cut, SLICE_ARGS(key), SLICE_ARGS(value));
    else
        note(story, "%s%s" SLICE_FORMAT "%s \"" SLICE_FORMAT "\": %s", before, blank, SLICE_ARGS(shown), cut, SLICE_ARGS(key),
             result == TABLE_NOT_FOUND ? "no" : "FAILED: the table cannot answer");
}

/* ---- watching access control ---- */

static const char *list_name(const struct access_rules *rules, const struct restriction_list *list)
{
    const struct { const struct restriction_list *list; const char *name; } rows[] = {
        {rules->client, "smtpd_client_restrictions"}, {rules->helo, "smtpd_helo_restrictions"}, {rules->sender, "smtpd_sender_restrictions"},
        {rules->relay, "smtpd_relay_restrictions"}, {rules->recipient, "smtpd_recipient_restrictions"}, {rules->data, "smtpd_data_restrictions"},
        {rules->end_of_data, "smtpd_end_of_data_restrictions"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].list == list)
            return rows[i].name;
    return "";
}

static void list_begins(void *context, const struct restriction_list *list)
{
    struct story *story = context;

    end_line(story);
    printf("  %s\n", list_name(story->server->access, list));
}

static void unlisted_begins(void *context, const char *parameter)
{
    end_line(context);
    printf("  %s\n", parameter);
}

/* who_is_asked - somebody who must not be asked for nothing; NULL: nobody. */
static const char *who_is_asked(const struct restriction *item)
{
    enum access_result (*check)(struct access *a, const struct restriction *asked) = item->row->check;

    if (check == check_policy_service)
        return "the policy server would be asked";
    if (check == check_greylist)
        return "greylisting would look for this client, sender and recipient, and defer the first attempt";
    if (check == check_rbl_client || check == check_rhsbl || check == check_maps_rbl)
        return "the block list would be asked";
    if (check == check_dnswl_client || check == check_rhswl_client)
        return "the list of welcome clients would be asked";
    if (check == check_unverified_sender || check == check_unverified_recipient)
        return "the address would be probed, unless it is remembered";
    return check == check_sleep ? "waits for so many seconds" : NULL;
}

static bool passes_over(void *context, struct access *a, const struct restriction *item)
{
    struct story *story = context;
    const char *who = who_is_asked(item);

    end_line(story);
    printf("    %*s%s%s%s%s", 2 * (a->depth - 1), "", a->warn ? "warn_if_reject " : "", item->word, item->argument && item->row->name[0] ? " " : "",
           item->argument && item->row->name[0] ? item->argument : "");
    story->open_line = true;
    if (item->class)
        note(story, "class %s", item->word);
    if (who)
        outcome(story, "%s; what follows holds if that does not decide", who);
    return who != NULL;
}

/* tell_pending - a wish to defer that the restriction has left behind. */
static void tell_pending(struct story *story, const struct access *a)
{
    if (a->if_permit.code && a->if_permit.code != story->if_permit)
        note(story, "would defer at the end, if nothing rejects: %d %s " SLICE_FORMAT, a->if_permit.code, a->if_permit.status, SLICE_ARGS(a->if_permit.text));
    if (a->if_reject.code && a->if_reject.code != story->if_reject)
        note(story, "would turn a rejection into: %d %s " SLICE_FORMAT, a->if_reject.code, a->if_reject.status, SLICE_ARGS(a->if_reject.text));
    story->if_permit = a->if_permit.code;
    story->if_reject = a->if_reject.code;
}

static const char *what_is_missing(const struct access *a, int needs)
{
    if ((needs & NEEDS_HELO) && !a->s->helo)
        return "not looked at: what HELO said is not known (--helo)";
    if (needs & NEEDS_SENDER_ADDRESS)
        return "not for the null sender";
    return "not at this stage";
}

static void item_done(void *context, const struct access *a, const struct restriction *item, bool in_place, enum access_result result)
{
    struct story *story = context;

    if (!in_place) {
        outcome(story, "%s", what_is_missing(a, item->row->needs));
        return;
    }
    tell_pending(story, a);
    if (who_is_asked(item) || (item->class && result != ACCESS_OK))
        return;
    if (a->s->mail && a->s->mail->discard)
        outcome(story, "accepted, and thrown away (DISCARD)");
    else
        outcome(story, "%s", result == ACCESS_OK ? "permitted, the list is done" : result == ACCESS_REJECT ? "REJECTED" : "does not decide");
}

/* ---- the mail ---- */

static void set_client(struct story *story)
{
    struct session *s = story->session;
    struct net_address peer = {0}, local;

    if (!net_address_parse(&local, SLICE("0.0.0.0"), 25))
        log_panic("0.0.0.0 is no address");
    if (story->question.client && !net_address_parse(&peer, slice_of(story->question.client), 0))
        log_fatal("--client: not an IP address: %s", story->question.client);
    client_init(&s->client, story->server, story->question.client ? &peer : &local, &local, s->arena);
    s->client.port = "";
    if (story->question.client) {
        client_look_up(&s->client, story->server, s->arena);
    } else {
        s->client.has_address = false;
        s->client.address = s->client.literal = "unknown";
    }
    client_set_text(&s->client, story->server, s->arena);
}

/* set_login - who logs in does so under TLS. */
static void set_login(struct story *story)
{
    struct session *s = story->session;
    struct tls_facts *tls;

    if (!story->question.user)
        return;
    auth_set_login(s, story->question.user, "PLAIN");
    tls = arena_alloc(s->arena, sizeof(*tls));
    *tls = (struct tls_facts){.protocol = "TLSv1.3", .cipher = "", .details = "", .subject = "", .issuer = "", .fingerprint = "", .key_fingerprint = ""};
    s->tls = tls;
}

static void set_mail(struct story *story)
{
    struct session *s = story->session;

    s->helo = story->question.helo ? memory_string(story->question.helo) : NULL;
    s->esmtp = true;
    s->where = "RCPT";
    s->mail = transaction_new();
    s->mail->sender = slice_of(story->question.sender);
    s->mail->sender_shown = mail_address_internal(s->mail->sender, s->mail->arena);
    s->mail->accepted = true;
}

static void refused(struct story *story, const struct rejection *rejection)
{
    struct slice line = answer_rejection_line(story->session, rejection);

    end_line(story);
    printf("=> rejected: " SLICE_FORMAT "\n", SLICE_ARGS(line));
    story->status = 1;
}

/* tell_effects - what happens to the message besides. */
static void tell_effects(struct story *story)
{
    const struct transaction *t = story->session->mail;

    if (t->hold)
        note(story, "the message goes to the hold queue");
    if (t->filter.len)
        note(story, "the message goes through the filter " SLICE_FORMAT, SLICE_ARGS(t->filter));
    if (t->redirect.len)
        note(story, "the message goes to " SLICE_FORMAT " instead", SLICE_ARGS(t->redirect));
    for (size_t i = 0; i < t->bcc_count; i++)
        note(story, "a copy goes to " SLICE_FORMAT, SLICE_ARGS(t->bcc[i].address));
    if (t->prepended.len)
        note(story, "prepended to the header: " SLICE_FORMAT, SLICE_ARGS(slice_trim(buffer_slice(&t->prepended))));
}

/* tell_others - who also has a word, and is not asked here. */
static void tell_others(struct story *story)
{
    static const struct { const char *parameter, *what; } others[] = {
        {"smtpd_milters", "mail filters would be asked at each stage"}, {"smtpd_proxy_filter", "the proxy filter would be given the whole dialogue"},
        {"smtpd_command_filter", "commands would be changed before they are looked at"},
    };

    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (config_string(story->server->config, others[i].parameter)[0])
            printf("  %s: %s\n", others[i].parameter, others[i].what);
}

static bool look_at_recipient(struct story *story)
{
    struct session *s = story->session;
    struct slice address = slice_of(story->question.recipient);
    struct rejection rejection;
    struct recipient recipient = {.address = address};

    if (!access_rcpt(s, address, mail_address_internal(address, s->scratch), &rejection)) {
        refused(story, &rejection);
        return false;
    }
    transaction_add_recipient(s->mail, &recipient);
    return true;
}

static bool look_at_content(struct story *story)
{
    struct session *s = story->session;
    struct rejection rejection;

    s->where = "DATA";
    if (access_data(s, &rejection)) {
        s->where = "END-OF-MESSAGE";
        if (access_end_of_data(s, &rejection))
            return true;
    }
    refused(story, &rejection);
    return false;
}

static void tell(void *argument)
{
    struct story *story = argument;

    story->session = session_new(story->server, NULL);
    log_set_watcher(take_log, story);
    tables_set_trace(take_lookup, story);
    set_client(story);
    set_login(story);
    set_mail(story);
    printf("access: client %s%s%s, service %s\n", story->session->client.text, story->question.user ? ", logged in (under TLS) as " : "",
           story->question.user ? story->question.user : "", story->server->service_name);
    tell_others(story);
    if (look_at_recipient(story) && look_at_content(story))
        tell_effects(story);
    tables_set_trace(NULL, NULL);
    log_set_watcher(NULL, NULL);
    session_free(story->session);
    fflush(stdout);
}

/* ---- the server ---- */

static bool is_smtp_server(const struct master_service *service)
{
    const char *slash = strrchr(service->command, '/');

    return strcmp(slash ? slash + 1 : service->command, "smtpd") == 0;
}

/* find_service - the one that was asked for; else where people log in, for who is logged in; else the first.  NULL: there is none. */
static const struct master_service *find_service(const struct master_cf *services, const struct question *question)
{
    static const char *const for_users[] = {"submission", "submissions", "smtps", "587", "465"};
    const struct master_service *first = NULL;

    for (size_t i = 0; i < services->count; i++) {
        const struct master_service *service = &services->services[i];
        if (!is_smtp_server(service))
            continue;
        if (question->service && strcmp(service->name, question->service) == 0)
            return service;
        for (size_t k = 0; !question->service && question->user && k < COUNT_OF(for_users); k++)
            if (strcmp(service->name, for_users[k]) == 0)
                return service;
        first = first ? first : service;
    }
    return question->service ? NULL : first;
}

/* apply_service - the -o settings of the service; its name for the story. */
static const char *apply_service(struct config *config, const struct question *question, struct arena *arena)
{
    struct master_cf services;
    struct slice name, value;

    if (!master_cf_load(config_directory(config), config, arena, config_ignore_problem, NULL, &services))
        log_fatal("master.cf cannot be read");
    const struct master_service *service = find_service(&services, question);
    if (!service && question->service)
        log_fatal("master.cf has no SMTP server named %s", question->service);
    config_set(config, SLICE("process_name"), SLICE("smtpd"));
    if (!service)
        return "of main.cf";
    config_set(config, SLICE("service_name"), slice_of(service->name));
    for (size_t at = 0; master_cf_next_setting(service, &at, &name, &value);)
        config_set(config, name, value);
    return service->name;
}

/* open_server - as much of it as access control needs. */
static struct server *open_server(struct config *config, const char *service_name, const struct access_watch *watch)
{
    struct server *server = memory_zalloc(1, sizeof(*server));
    const struct smtpd_params *p = &server->params;

    server->config = config;
    server->service_name = service_name;
    server->watch = watch;
    smtpd_params_load(config, &server->params);
    server->own_count = config_own_addresses(config, &server->own_addresses, NULL);
    server->proxy_count = config_proxy_addresses(config, &server->proxy_addresses);
    server->route = route_new(config);
    server->mynetworks = match_list_new("mynetworks", p->mynetworks, MATCH_ADDRESS_LIST, config);
    server->permit_logging = match_list_new("smtpd_log_access_permit_actions", p->smtpd_log_access_permit_actions, MATCH_STRING_LIST, config);
    server->mx_backup_networks = match_list_new("permit_mx_backup_networks", p->permit_mx_backup_networks, MATCH_ADDRESS_LIST, config);
    server->access = access_rules_new(server);
    server->queue_fd = -1;
    return server;
}

static void close_server(struct server *server)
{
    access_rules_free(server->access);
    match_list_free(server->mynetworks);
    match_list_free(server->permit_logging);
    match_list_free(server->mx_backup_networks);
    client_names_release(server);
    route_free(server->route);
    free(server->own_addresses);
    free(server->proxy_addresses);
    free(server);
}

/* ---- the command line ---- */

static void parse(struct question *question, int argc, char **argv)
{
    static const struct option options[] = {{"explain", 0, NULL, 'e'}, {"client", 1, NULL, 'c'}, {"sasl", 1, NULL, 'a'}, {"helo", 1, NULL, 'h'},
                                            {"sender", 1, NULL, 's'}, {"service", 1, NULL, 'm'}, {NULL, 0, NULL, 0}};
    int letter;

    *question = (struct question){.sender = ""};
    while ((letter = getopt_long(argc, argv, "", options, NULL)) > 0) {
        switch (letter) {
        case 'e': break;
        case 'c': question->client = optarg; break;
        case 'a': question->user = optarg; break;
        case 'h': question->helo = optarg; break;
        case 's': question->sender = optarg; break;
        case 'm': question->service = optarg; break;
        default: exit(2);
        }
    }
    if (optind + 1 != argc)
        log_fatal("usage: postfix explain address");
    question->recipient = argv[optind];
}

int explain_main(int argc, char **argv)
{
    struct story story = {.arena = arena_new(0)};
    const struct access_watch watch = {list_begins, unlisted_begins, passes_over, item_done, &story};

    command_start("smtpd");
    signal(SIGPIPE, SIG_IGN);
    parse(&story.question, argc, argv);
    struct config *config = command_config(NULL, false);
    const char *service = apply_service(config, &story.question, story.arena);
    struct dns_options options = {.servers = config_string(config, "dns_servers")};
    dns_reply_filter_open(config, "smtpd_dns_reply_filter", &options);
    dns_start(&options);
    story.server = open_server(config, service, &watch);
    run_main(tell, &story);
    close_server(story.server);
    config_free(config);
    arena_free(story.arena);
    return story.status;
}
