/* replay.c - a main() for a fuzz target built without libFuzzer: runs the target over its seeds, each a Check-like test for tests/run-unit

   Usage: build/replay/NAME [FILE-OR-DIRECTORY...]    without arguments: tests/fuzz/corpus/NAME */
#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

enum { SEED_SECONDS = 30 }; /* a seed that takes longer has found a loop */

static unsigned replayed;

static void replay(const char *name, const void *data, size_t size)
{
    /* A copy of exactly that size, so that the sanitizer sees reads behind the end. */
    uint8_t *copy = memory_copy(data, size);
    fprintf(stderr, "seed %s\n", name);
    alarm(SEED_SECONDS);
    LLVMFuzzerTestOneInput(copy, size);
    alarm(0);
    free(copy);
    replayed++;
}

static void replay_file(const char *path, int fd, size_t size)
{
    char *data = memory_alloc(size + 1);
    size_t len = 0;
    ssize_t n;
    while (len < size && (n = read(fd, data + len, size - len)) > 0)
        len += (size_t)n;
    replay(path, data, len);
    free(data);
}

static bool replay_path(const char *path);

static bool replay_directory(const char *path)
{
    struct dirent **entries;
    bool ok = true;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char file[PATH_MAX];
        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            ok = replay_path(file) && ok;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return ok && count > 0;
}

static bool replay_path(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    if (!ok)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        ok = replay_directory(path);
    else
        replay_file(path, fd, (size_t)st.st_size);
    if (fd >= 0)
        close(fd);
    return ok;
}

int main(int argc, char **argv)
{
    char corpus[PATH_MAX];
    const char *slash = strrchr(argv[0], '/');
    bool ok = true;
    snprintf(corpus, sizeof(corpus), "tests/fuzz/corpus/%s", slash ? slash + 1 : argv[0]);
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    replay("(empty)", "", 0);
    for (int i = 1; i < argc; i++)
        ok = replay_path(argv[i]) && ok;
    if (argc == 1)
        ok = replay_path(corpus);
    unsigned missing = !ok || replayed < 2; /* a target without seeds is not finished */
    printf("%u%%: Checks: %u, Failures: %u, Errors: 0\n", missing ? 0 : 100, replayed, missing);
    return missing ? EXIT_FAILURE : EXIT_SUCCESS;
}
