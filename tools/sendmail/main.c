/* main.c - sendmail, mailq, newaliases: one program with many faces (compat.md j.7) */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "sendmail.h"

enum { TEMPORARY_FAILURE = 75, WORDS_MAX = 256 };

/* Words for another program. */
struct words {
    const char *list[WORDS_MAX + 1];
    size_t count;
};

static void add(struct words *words, const char *word)
{
    if (words->count < WORDS_MAX)
        words->list[words->count++] = word;
}

static void add_verbose(struct words *words, const struct options *options)
{
    for (int i = 0; i < options->verbose; i++)
        add(words, "-v");
}

static void become(struct config *config, const char *directory_parameter, const struct words *words)
{
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s/%s", config_string(config, directory_parameter), words->list[0]);
    log_flush();
    execv(buffer_string(&path), (char *const *)words->list);
    log_fatal("%s: %s", buffer_string(&path), strerror(errno));
}

/* configuration_directory - -C names a directory, or a file in it. */
static const char *configuration_directory(const char *path)
{
    struct stat st;
    if (!path)
        return NULL;
    if (stat(path, &st) < 0 || S_ISDIR(st.st_mode))
        return path;
    char *copy = memory_string(path);
    char *slash = strrchr(copy, '/');
    if (slash)
        *slash = '\0';
    return copy;
}

/* named_directory - of -C DIRECTORY or -CDIRECTORY; NULL: none. */
static const char *named_directory(int argc, char **argv)
{
    const char *found = NULL;
    for (int i = 1; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
        size_t letters = strspn(argv[i] + 1, "GIUcimntvx") + 1;
        char letter = argv[i][letters];
        const char *value = letter && argv[i][letters + 1] ? argv[i] + letters + 1 : NULL;
        if (!letter || !strchr("ABCFLNORVXbfhopr", letter)) /* an option without an argument, or -q, which has none of its own */
            continue;
        if (!value && i + 1 < argc)
            value = argv[++i];
        if (letter == 'C')
            found = value;
    }
    return found;
}

static void list_queue(struct config *config, const struct options *options)
{
    struct words words = {0};
    if (options->word_count > 0)
        log_fatal("display queue mode requires no recipient");
    add(&words, "postqueue");
    add(&words, "-p");
    add_verbose(&words, options);
    become(config, "command_directory", &words);
}

static void flush_queue(struct config *config, const struct options *options)
{
    struct words words = {0};
    if (options->word_count > 0)
        log_fatal("flush queue mode requires no recipient");
    add(&words, "postqueue");
    add_verbose(&words, options);
    add(&words, options->mode == MODE_FLUSH ? "-f" : options->mode == MODE_FLUSH_ID ? "-i" : "-s");
    if (options->flush_argument)
        add(&words, options->flush_argument);
    become(config, "command_directory", &words);
}

/* make_aliases - postalias for every alias_database, or for the one that -oA names. */
static void make_aliases(struct config *config, const struct options *options)
{
    struct words words = {0};
    struct slice rest = slice_of(config_string(config, "alias_database")), element;
    if (options->word_count > 0)
        log_fatal("alias initialization mode requires no recipient");
    add(&words, "postalias");
    add_verbose(&words, options);
    if (options->aliases) {
        add(&words, "--");
        add(&words, options->aliases);
        become(config, "command_directory", &words);
    }
    add(&words, "--");
    size_t before = words.count;
    while (config_list_next(&rest, &element))
        add(&words, slice_string(element));
    if (words.count > before)
        become(config, "command_directory", &words);
}

static void check_user(struct config *config)
{
    if (!command_user_allowed(config, "authorized_submit_users", getuid()))
        log_fatal("User %s(%ld) is not allowed to submit mail", command_user_name(getuid()), (long)getuid());
}

static void talk_smtp(struct config *config, const struct options *options)
{
    struct words words = {0};
    if (options->word_count > 0)
        log_fatal("stand-alone mode requires no recipient");
    check_user(config);
    add(&words, "smtpd");
    add(&words, "-S");
    add_verbose(&words, options);
    become(config, "daemon_directory", &words);
}

/* start_system - in the background, as the old sendmail -bd did; whether the caller may is for the postfix command to say. */
static void start_system(struct config *config, const struct options *options)
{
    struct words words = {0};
    if (options->word_count > 0)
        log_fatal("daemon mode requires no recipient");
    pid_t pid = fork();
    if (pid < 0)
        log_fatal("fork: %s", strerror(errno));
    if (pid > 0)
        return;
    setsid();
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    add(&words, "postfix");
    add_verbose(&words, options);
    add(&words, "-c");
    add(&words, config_directory(config));
    add(&words, "start");
    become(config, "command_directory", &words);
}

static const char help[] =
    "Usage: sendmail [option ...] [recipient ...]   submit the message on standard input\n"
    "       mailq                                   list the queue\n"
    "       newaliases                              make the alias databases\n"
    "  -B type  7BIT or 8BITMIME\n"
    "  -bd  start the mail system\n"
    "  -bi  as newaliases\n"
    "  -bm  submit a message (default)\n"
    "  -bp  as mailq\n"
    "  -bs  speak SMTP on standard input and output\n"
    "  -bv  do not send, report what would become of the recipients\n"
    "  -C config  the directory of main.cf\n"
    "  -F name  the sender's full name\n"
    "  -f sender  the sender's address\n"
    "  -G  not a local message\n"
    "  -I  as newaliases\n"
    "  -i  a line with a dot does not end the message\n"
    "  -O requiretls=yes  the message goes on only under TLS\n"
    "  -N dsn  notices: never, or success,failure,delay\n"
    "  -oA file  -bi: this database\n"
    "  -oi  as -i\n"
    "  -q  try to deliver deferred mail now\n"
    "  -qI id  this message (without a blank)\n"
    "  -qR site  mail for this site (without a blank)\n"
    "  -R return  notices return the message: full or hdrs\n"
    "  -r sender  as -f\n"
    "  -t  recipients are those of the header\n"
    "  -V envid  an id that notices repeat\n"
    "  -v  report deliveries; twice: more messages\n"
    "  -XV  variable envelope return paths\n"
    "See sendmail(1).\n";

int main(int argc, char **argv)
{
    struct options options;
    const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
    command_start(strcmp(name, "mailq") == 0 || strcmp(name, "newaliases") == 0 ? name : "sendmail");
    command_help(argc, argv, help);
    log_set_fatal_exit(TEMPORARY_FAILURE);
    signal(SIGPIPE, SIG_IGN);
    /* The log first: what is wrong with the options is told there, too. */
    struct config *config = command_config(configuration_directory(named_directory(argc, argv)), true);
    options_parse(&options, argc, argv);
    if (options.verbose > 1)
        log_verbose += options.verbose - 1;
    switch (options.mode) {
    case MODE_ENQUEUE:
        check_user(config);
        enqueue(config, &options);
        break;
    case MODE_MAILQ: list_queue(config, &options); break;
    case MODE_FLUSH:
    case MODE_FLUSH_ID:
    case MODE_FLUSH_SITE: flush_queue(config, &options); break;
    case MODE_NEWALIASES: make_aliases(config, &options); break;
    case MODE_SMTP: talk_smtp(config, &options); break;
    case MODE_DAEMON: start_system(config, &options); break;
    case MODE_INTERVAL:
        if (options.word_count > 0 || options.extract) {
            check_user(config);
            enqueue(config, &options);
        }
        break;
    case MODE_NOTHING: break;
    }
    config_free(config);
    return 0;
}
