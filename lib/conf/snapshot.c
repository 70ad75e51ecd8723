/* snapshot.c - see snapshot.h.  The memory file: "postern 1 LENGTH LENGTH\n", main.cf, master.cf. */
#include "conf/snapshot.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "conf/config_private.h"

#define MAGIC "postern 1 "
enum { SNAPSHOT_MAX = 40 << 20 };

static bool write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text = slice_from(text, (size_t)n);
    }
    return true;
}

int config_snapshot_create(const struct config *config)
{
    struct buffer head = BUFFER_INIT;
    int fd = memfd_create("configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    buffer_printf(&head, MAGIC "%zu %zu\n", config->main_text.len, config->master_text.len);
    bool ok = fd >= 0 && write_all(fd, buffer_slice(&head)) && write_all(fd, buffer_slice(&config->main_text)) &&
              write_all(fd, buffer_slice(&config->master_text)) &&
              fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0;
    int saved = errno;
    buffer_release(&head);
    if (!ok && fd >= 0)
        close(fd);
    errno = saved;
    return ok ? fd : -1;
}

/* take_texts - the two texts of a snapshot. */
static bool take_texts(struct slice all, struct slice *main_text, struct slice *master_text)
{
    struct slice head, first, second;
    uint64_t a, b;
    if (!slice_cut(all, '\n', &head, &all) || !slice_starts(head, SLICE(MAGIC)))
        return false;
    head = slice_from(head, sizeof(MAGIC) - 1);
    if (!slice_cut(head, ' ', &first, &second) || !slice_to_u64(first, &a) || !slice_to_u64(second, &b) || a > all.len ||
        b != all.len - a)
        return false;
    *main_text = slice_first(all, (size_t)a);
    *master_text = slice_from(all, (size_t)a);
    return true;
}

/* read_snapshot - the whole of it; several processes share the file position, so it is not used. */
static bool read_snapshot(int fd, struct buffer *all)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    if (st.st_size > SNAPSHOT_MAX) {
        errno = EFBIG;
        return false;
    }
    char *room = buffer_reserve(all, (size_t)st.st_size + 1);
    ssize_t n = room != NULL ? pread(fd, room, (size_t)st.st_size, 0) : -1;
    if (n >= 0)
        buffer_commit(all, (size_t)n);
    return n == st.st_size;
}

struct config *config_load_snapshot(const char *directory, int fd, config_report *report, void *context)
{
    struct buffer all = BUFFER_INIT;
    struct slice main_text, master_text;
    struct config *config = config_new_at(directory, report, context);
    if (!read_snapshot(fd, &all))
        config_problem(config, true, NULL, 0, "cannot read the accepted configuration: %s", strerror(errno));
    else if (!take_texts(buffer_slice(&all), &main_text, &master_text))
        config_problem(config, true, NULL, 0, "the accepted configuration is damaged");
    else
        config_take_texts(config, main_text, master_text);
    buffer_release(&all);
    return config_if_good(config);
}

struct config *config_load_whole(const char *directory, config_report *report, void *context)
{
    struct buffer main_text = BUFFER_INIT, master_text = BUFFER_INIT;
    struct config *config = config_new_at(directory, report, context);
    struct buffer master_path = BUFFER_INIT;
    buffer_printf(&master_path, "%s/master.cf", config->directory);
    if (!config_read_file(config->path, &main_text))
        config_problem(config, true, config->path, 0, "open %s: %s", config->path, strerror(errno));
    else if (!config_read_file(buffer_string(&master_path), &master_text))
        config_problem(config, true, buffer_string(&master_path), 0, "open %s: %s", buffer_string(&master_path), strerror(errno));
    else
        config_take_texts(config, buffer_slice(&main_text), buffer_slice(&master_text));
    buffer_release(&master_path);
    buffer_release(&main_text);
    buffer_release(&master_text);
    return config_if_good(config);
}
