/* statistics.h - the statistics page: counters of all workers in memory that master shares with them

   Master makes the page (a memfd); each worker has a slot of its own and is the only writer there, so counting costs one store.  When a worker
   is gone master adds its sums to the slot of its service and gives the slot to somebody else.  `postfix statistics` reads the page through
   master's descriptor in /proc. */
#ifndef POSTERN_SERVICE_STATISTICS_H
#define POSTERN_SERVICE_STATISTICS_H

#include "base/base.h"

#define COUNTER(id, kind, text) STATISTIC_##id,
enum statistic {
#include "service/statistics.def"
    STATISTIC_COUNT
};
#undef COUNTER

enum { STATISTICS_SLOTS = 1024, STATISTICS_NAME = 40, STATISTICS_MAGIC = 0x50535431, STATISTICS_NO_SLOT = 0, STATISTICS_SHARED = 512 };
#define STATISTICS_MEMFD "postern-statistics"

struct statistics_slot {
    char service[STATISTICS_NAME]; /* "smtpd" of 2 lines: name of master.cf; empty: free */
    uint32_t pid;                  /* 0: sums of workers that are gone */
    uint32_t unused;
    int64_t counters[STATISTIC_COUNT];
};

struct statistics_page {
    uint32_t magic, slots, counters, unused;
    struct statistics_slot slot[STATISTICS_SLOTS]; /* slot 0 is nobody's */
    uint64_t shared[STATISTICS_SHARED / sizeof(uint64_t)]; /* keys of TLS session tickets, which no reader of statistics shows */
};

/* statistics_use - a worker: map the page behind the descriptor and count in that slot from now on.  Without it counting does nothing. */
void statistics_use(int fd, unsigned slot);
/* statistics_shared - STATISTICS_SHARED bytes that all workers of this master share; without a page this process's own. */
void *statistics_shared(void);
/* statistics_add - count. */
void statistics_add(enum statistic counter, int64_t n);
/* statistics_elsewhere - what the other workers of this service count, as of a moment ago: for limits that they share. */
int64_t statistics_elsewhere(enum statistic counter);

/* ---- master ---- */
/* statistics_create - make the page; its descriptor, or -1 with errno (then nothing is counted). */
int statistics_create(void);
/* statistics_take_slot - a free slot for a worker of the service, STATISTICS_NO_SLOT when there is none.  statistics_slot_pid - name its owner. */
unsigned statistics_take_slot(const char *service);
void statistics_slot_pid(unsigned slot, pid_t pid);
/* statistics_give_slot - the worker is gone: keep its sums. */
void statistics_give_slot(unsigned slot);

/* ---- readers ---- */
/* statistics_open - the page of the running master, mapped for reading; NULL with errno. */
const struct statistics_page *statistics_open(pid_t master);
const char *statistics_name(enum statistic counter);
bool statistics_is_sum(enum statistic counter);

#endif
