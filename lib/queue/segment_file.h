/* segment_file.h - the files under spool/segment and spool/content: names, making, opening, removing, reading without stalling the loop

   segment/HEX16           a segment; its writer holds flock(LOCK_EX) on it from before the name exists until it closes it or dies
   segment/.new-*          a segment that is being made
   content/HEX16/HEX16     large contents: a folder per segment (it goes with the segment), a file per content */
#ifndef POSTERN_QUEUE_SEGMENT_FILE_H
#define POSTERN_QUEUE_SEGMENT_FILE_H

#include "queue/record.h"

struct segment_directory {
    int segment_fd, content_fd; /* open directories: they work after chroot */
};

/* segment_directory_open - below queue_directory, made when missing (mode 0700); false with errno. */
bool segment_directory_open(struct segment_directory *directory, const char *queue_directory) MUST_CHECK;
void segment_directory_close(struct segment_directory *directory);

#define SEGMENT_NAME_SIZE 17
const char *segment_file_name(uint64_t number, char name[SEGMENT_NAME_SIZE]);
/* segment_file_number - of a file name; false: not the name of a segment. */
bool segment_file_number(const char *name, uint64_t *number) MUST_CHECK;

/* segment_file_create - a fresh number, locked, header written, name durable.  The descriptor, or -1 with errno.  Blocks: offload it. */
int segment_file_create(const struct segment_directory *directory, uint32_t kind, struct segment_header *header) MUST_CHECK;
int segment_file_open(const struct segment_directory *directory, uint64_t number, int flags) MUST_CHECK;
/* segment_file_is_closed - its writer is done with it or dead. */
bool segment_file_is_closed(int fd);
/* segment_file_remove - the segment and its contents; false with errno (gone already counts as removed). */
bool segment_file_remove(const struct segment_directory *directory, uint64_t number);

/* content_file_create - a fresh number in the folder of a segment.  content_file_move - to the folder of another segment (or a second
   name for it when keep). content_file_sync - make file and names durable.  The last two block: offload them.  -1 / false with errno. */
int content_file_create(const struct segment_directory *directory, uint64_t segment, uint64_t *number) MUST_CHECK;
int content_file_open(const struct segment_directory *directory, uint64_t segment, uint64_t number) MUST_CHECK; /* for reading */
bool content_file_move(const struct segment_directory *directory, uint64_t from, uint64_t to, uint64_t number, bool keep) MUST_CHECK;
bool content_file_sync(const struct segment_directory *directory, uint64_t segment, int fd) MUST_CHECK;
bool content_file_remove(const struct segment_directory *directory, uint64_t segment, uint64_t number);
void content_folder_remove(const struct segment_directory *directory, uint64_t segment);

/* segment_file_work - run fn in the offload pool when called from a fiber, here otherwise.  Waits (from a fiber). */
void segment_file_work(void (*fn)(void *arg), void *arg);
/* segment_file_read - up to len bytes at an offset (fewer only at the end of the file); -1 with errno.  What is not in memory is
   fetched in the offload pool.  Waits (from a fiber).  segment_file_read_now - the same, blocking. */
ssize_t segment_file_read(int fd, void *bytes, size_t len, uint64_t offset);
ssize_t segment_file_read_now(int fd, void *bytes, size_t len, uint64_t offset);
/* segment_file_write - all of it at an offset, blocking; false with errno. */
bool segment_file_write(int fd, const void *bytes, size_t len, uint64_t offset) MUST_CHECK;

/* The seam for tests: how a file is made durable. */
extern int (*segment_file_datasync)(int fd);

#endif
