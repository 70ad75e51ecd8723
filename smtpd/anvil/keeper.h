/* keeper.h - the process that keeps the store's files

   anvil faces no client of the network, but it is jailed: it opens no file.  Its keeper is forked before that, becomes the mail owner, and does what
   blocks: it reads each cache's file once, at the start, and writes what has changed.  The two talk over one SOCK_SEQPACKET pair:

     anvil  -- CHANGES, SYNC, TEXT, TEXT_END -->  keeper
     anvil  <-- ENTRIES, LOADED, SYNCED, WANTS_ALL, LOG --  keeper

   A message is its kind, the number of the cache, and what follows.  The keeper ends when anvil does, having written what it was told. */
#ifndef POSTERN_ANVIL_KEEPER_H
#define POSTERN_ANVIL_KEEPER_H

#include "base/log.h"
#include "conf/config.h"

enum keeper_kind {
    KEEPER_CHANGES = 1, /* changes (cache_change_put) for the file */
    KEEPER_SYNC,        /* put them on the disk, then say SYNCED */
    KEEPER_ENTRIES,     /* what the file holds, in the same form */
    KEEPER_LOADED,      /* that was all; there may be no file: then a LOG said why */
    KEEPER_SYNCED,
    KEEPER_TEXT,        /* a piece of the list of offenders */
    KEEPER_TEXT_END,    /* that was all: it takes the place of the file */
    KEEPER_WANTS_ALL,   /* the disk was full, and is no longer: the whole cache once more, as changes */
    KEEPER_LOG          /* a line of the log: severity in place of the cache's number, then the text */
};

enum { KEEPER_BATCH = 48 * 1024 /* changes in one message, about */, KEEPER_MESSAGE_MAX = 192 * 1024 };

/* A file: type:name of a table, empty when the cache has none. */
struct keeper_file {
    const char *cache; /* its name, for the log */
    const char *where;
};

/* keeper_main - the process (child_fork, with keeper_line as its watcher): files is indexed by the cache's number.  Does not return. */
void keeper_main(int socket, struct config *config, const struct keeper_file *files, size_t count) NO_RETURN;
void keeper_line(enum log_severity severity, const char *text, void *context);

/* keeper_parse - a record of a file as this program writes it: false for others'.  keeper_format - the other way. */
bool keeper_parse(struct slice text, int64_t *expires, struct slice *value);
void keeper_format(struct buffer *out, int64_t expires, struct slice value);

#endif
