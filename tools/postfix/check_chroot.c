/* check_chroot.c - copies of system files in the queue directory, for services that run in a chroot there (compat.md l.3) */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "checks.h"

enum { FILES_MAX = 20000, DEPTH_MAX = 16, PIECE = 16384 };

struct comparison {
    struct checks *checks;
    size_t files;
};

/* same_content - of two open files of one size. */
static bool same_content(int a, int b)
{
    char one[PIECE], other[PIECE];
    for (;;) {
        ssize_t n = read(a, one, sizeof(one)), m = read(b, other, sizeof(other));
        if (n != m || n < 0 || memcmp(one, other, (size_t)n) != 0)
            return false;
        if (n == 0)
            return true;
    }
}

/* differ - two regular files that can be read and are not the same. */
static bool differ(const char *a, const char *b)
{
    struct stat first, second;
    int one = open(a, O_RDONLY | O_CLOEXEC | O_NONBLOCK), other = open(b, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool both = one >= 0 && other >= 0 && fstat(one, &first) == 0 && fstat(other, &second) == 0 && S_ISREG(first.st_mode) && S_ISREG(second.st_mode);
    bool result = both && (first.st_size != second.st_size || !same_content(one, other));
    if (one >= 0)
        close(one);
    if (other >= 0)
        close(other);
    return result;
}

static void compare_tree(struct comparison *c, const char *below, const char *path, int depth)
{
    struct arena *arena = c->checks->arena;
    const char *directory = arena_printf(arena, "%s%s", below, path);
    DIR *entries = depth < DEPTH_MAX ? opendir(directory) : NULL;
    for (const struct dirent *entry; entries && (entry = readdir(entries)) && c->files < FILES_MAX;) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const char *system = arena_printf(arena, "%s/%s", path, entry->d_name), *copy = arena_printf(arena, "%s%s", below, system);
        c->files++;
        if (lstat(copy, &st) < 0 || S_ISLNK(st.st_mode))
            continue;
        if (S_ISDIR(st.st_mode))
            compare_tree(c, below, system, depth + 1);
        else if (S_ISREG(st.st_mode) && differ(copy, system))
            found(c->checks->control, FINDING_CHROOT, FINDING_WARNING, copy, 0, system, "%s and %s differ", copy, system);
    }
    if (entries)
        closedir(entries);
}

/* check_commands - /usr/lib/sendmail is where old programs look. */
static void check_commands(struct checks *checks)
{
    static const char old[] = "/usr/lib/sendmail", usual[] = "/usr/sbin/sendmail";
    struct stat first, second;
    if (stat(old, &first) == 0 && stat(usual, &second) == 0 && (first.st_dev != second.st_dev || first.st_ino != second.st_ino) && differ(old, usual))
        found(checks->control, FINDING_TWO_COMMANDS, FINDING_WARNING, usual, 0, old, "%s and %s differ", old, usual);
}

void check_chroot(struct checks *checks)
{
    static const char *const trees[] = {"/bin", "/etc", "/lib", "/sbin", "/usr"};
    const char *queue_directory = config_string(checks->config, "queue_directory");
    struct comparison c = {.checks = checks};
    for (size_t i = 0; i < COUNT_OF(trees); i++) {
        struct stat st;
        if (lstat(arena_printf(checks->arena, "%s%s", queue_directory, trees[i]), &st) == 0 && S_ISDIR(st.st_mode))
            compare_tree(&c, queue_directory, trees[i], 0);
    }
    if (checks->control->root)
        check_commands(checks);
}
