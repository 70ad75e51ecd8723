/* snapshot.h - a configuration as it was accepted: the texts of main.cf and master.cf, read once and handed on by descriptor

   The files may change at any time; what a running mail system works with changes only when a reload accepts them.  So master reads both
   texts once, checks them, and gives workers the texts instead of the file names. */
#ifndef POSTERN_CONF_SNAPSHOT_H
#define POSTERN_CONF_SNAPSHOT_H

#include "conf/config.h"

/* config_load_whole - config_load that reads master.cf at the same time and keeps both texts: master_cf_load of this config reads the one that
   was kept. */
struct config *config_load_whole(const char *directory, config_report *report, void *context) MUST_CHECK;
/* config_snapshot_create - the texts of such a config in a sealed memory file (close-on-exec); -1 with errno. */
int config_snapshot_create(const struct config *config) MUST_CHECK;
/* config_load_snapshot - as config_load_whole, from a descriptor of config_snapshot_create, which stays open.  Reports name the files of
   directory (NULL as for config_load).  NULL (reported) when it holds something else. */
struct config *config_load_snapshot(const char *directory, int fd, config_report *report, void *context) MUST_CHECK;

#endif
