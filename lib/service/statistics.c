/* statistics.c - the statistics page */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "service/statistics.h"

#define COUNTER(id, kind, text) {#id, COUNTER_##kind},
enum { COUNTER_SUM, COUNTER_NOW };
static const struct {
    const char *name;
    int kind;
} counters[] = {
#include "service/statistics.def"
};
#undef COUNTER

static struct statistics_page *page; /* NULL: nothing is counted */
static struct statistics_slot *own;

const char *statistics_name(enum statistic counter)
{
    return counters[counter].name;
}

bool statistics_is_sum(enum statistic counter)
{
    return counters[counter].kind == COUNTER_SUM;
}

/* ---- a worker ----------------------------------------------------------------------------------------------------- */

void statistics_use(int fd, unsigned slot)
{
    struct stat st;
    if (slot == STATISTICS_NO_SLOT || slot >= STATISTICS_SLOTS || fstat(fd, &st) < 0 || st.st_size != sizeof(*page))
        return;
    void *map = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return;
    page = map;
    own = &page->slot[slot];
}

void *statistics_shared(void)
{
    static uint64_t private_memory[STATISTICS_SHARED / sizeof(uint64_t)];
    return page ? page->shared : private_memory;
}

void statistics_add(enum statistic counter, int64_t n)
{
    if (own) /* one writer: no need for an atomic addition, only for a store that readers see whole */
        __atomic_store_n(&own->counters[counter], own->counters[counter] + n, __ATOMIC_RELAXED);
}

/* add_elsewhere - slots are given out from the first on, so a long run of empty ones is the end. */
static void add_elsewhere(int64_t sums[STATISTIC_COUNT])
{
    enum { EMPTY_RUN = 64 };
    memset(sums, 0, STATISTIC_COUNT * sizeof(*sums));
    for (size_t i = 1, empty = 0; i < STATISTICS_SLOTS && empty < EMPTY_RUN; i++) {
        const struct statistics_slot *slot = &page->slot[i];
        empty = slot->service[0] ? 0 : empty + 1;
        if (slot == own || slot->pid == 0 || strncmp(slot->service, own->service, STATISTICS_NAME) != 0)
            continue;
        for (size_t k = 0; k < STATISTIC_COUNT; k++)
            sums[k] += __atomic_load_n(&slot->counters[k], __ATOMIC_RELAXED);
    }
}

int64_t statistics_elsewhere(enum statistic counter)
{
    static int64_t sums[STATISTIC_COUNT], valid_until;
    if (!own)
        return 0;
    if (clock_monotonic() >= valid_until) {
        add_elsewhere(sums);
        valid_until = clock_after(MICROSECONDS / 10);
    }
    return sums[counter];
}

/* ---- master ------------------------------------------------------------------------------------------------------- */

int statistics_create(void)
{
    int fd = memfd_create(STATISTICS_MEMFD, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof(*page)) < 0)
        return -1;
    void *map = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -1;
    page = map;
    page->slots = STATISTICS_SLOTS;
    page->counters = STATISTIC_COUNT;
    page->magic = STATISTICS_MAGIC;
    return fd;
}

static struct statistics_slot *find_slot(const char *service, bool sums)
{
    for (size_t i = 1; i < STATISTICS_SLOTS; i++) {
        struct statistics_slot *slot = &page->slot[i];
        if (slot->service[0] == '\0' || (sums && slot->pid == 0 && strncmp(slot->service, service, STATISTICS_NAME - 1) == 0))
            return slot;
    }
    return NULL;
}

unsigned statistics_take_slot(const char *service)
{
    struct statistics_slot *slot = page ? find_slot(service, false) : NULL;
    if (!slot)
        return STATISTICS_NO_SLOT;
    memset(slot, 0, sizeof(*slot));
    slot->pid = UINT32_MAX; /* until it is known */
    snprintf(slot->service, sizeof(slot->service), "%s", service);
    return (unsigned)(slot - page->slot);
}

void statistics_slot_pid(unsigned slot, pid_t pid)
{
    if (page && slot != STATISTICS_NO_SLOT)
        page->slot[slot].pid = (uint32_t)pid;
}

void statistics_give_slot(unsigned slot)
{
    if (!page || slot == STATISTICS_NO_SLOT)
        return;
    struct statistics_slot gone = page->slot[slot];
    memset(&page->slot[slot], 0, sizeof(gone));
    gone.service[STATISTICS_NAME - 1] = '\0'; /* the worker could write there */
    struct statistics_slot *sums = find_slot(gone.service, true);
    if (!sums)
        return;
    memcpy(sums->service, gone.service, sizeof(sums->service));
    for (size_t i = 0; i < STATISTIC_COUNT; i++) {
        if (counters[i].kind == COUNTER_SUM)
            sums->counters[i] += gone.counters[i];
    }
}

/* ---- readers ------------------------------------------------------------------------------------------------------ */

/* find_memfd - master's descriptor of the page, opened for reading. */
static int find_memfd(int directory)
{
    static const char wanted[] = "/memfd:" STATISTICS_MEMFD;
    char target[200];
    DIR *entries = fdopendir(directory);
    int found = -1;
    for (const struct dirent *entry; entries && found < 0 && (entry = readdir(entries));) {
        ssize_t n = readlinkat(directory, entry->d_name, target, sizeof(target) - 1);
        if (n > 0 && strncmp(target, wanted, sizeof(wanted) - 1) == 0)
            found = openat(directory, entry->d_name, O_RDONLY | O_CLOEXEC);
    }
    if (entries)
        closedir(entries);
    return found;
}

const struct statistics_page *statistics_open(pid_t master)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)master);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = directory < 0 ? -1 : find_memfd(directory);
    if (fd < 0)
        return NULL;
    void *map = mmap(NULL, sizeof(*page), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    const struct statistics_page *seen = map == MAP_FAILED ? NULL : map;
    if (seen && (seen->magic != STATISTICS_MAGIC || seen->counters != STATISTIC_COUNT)) {
        errno = EPROTO;
        return NULL;
    }
    return seen;
}
