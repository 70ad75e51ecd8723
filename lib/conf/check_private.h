/* check_private.h - what the files of config_check share */
#ifndef POSTERN_CONF_CHECK_PRIVATE_H
#define POSTERN_CONF_CHECK_PRIVATE_H

#include "conf/check.h"
#include "conf/config_private.h"
#include "conf/master_cf.h"
#include "conf/names.h"

struct check {
    struct config *config, *quiet; /* the same settings; reading them in quiet reports nothing */
    finding_report *report;
    void *context;
    struct arena *arena;
    size_t count;
    bool fatal;
    const char *where;   /* put before reports of values: "FILE, line N: " */
    const char *subject; /* of those reports */
    bool relevant;       /* a program that runs reads the value */
    const char *master_file;
    struct master_cf services;
    struct name_service *named; /* the same for names.h */
};

/* check_found - report; the text gets "FILE, line N: " in front. */
void check_found(struct check *c, enum finding_kind kind, enum finding_weight weight, const char *file, int line, const char *subject,
                 const char *format, ...) PRINTF_LIKE(7, 8);
/* check_is_choice - of "may|encrypt"; any case. */
bool check_is_choice(struct slice choices, struct slice word);
/* check_restrictions - the lists of smtpd in main.cf and in services of master.cf. */
void check_restrictions(struct check *c);
/* check_milters - smtpd_milters and non_smtpd_milters, in main.cf and in services of master.cf. */
void check_milters(struct check *c);
/* check_service_config - a copy of the config with the -o settings of a service; config_free. */
struct config *check_service_config(struct check *c, size_t service, config_report *report, void *context) MUST_CHECK;

#endif
