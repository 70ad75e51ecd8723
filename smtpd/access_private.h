/* access_private.h - between the files of access control */
#ifndef POSTERN_SMTPD_ACCESS_PRIVATE_H
#define POSTERN_SMTPD_ACCESS_PRIVATE_H

#include "access.h"
#include "answer.h"
#include "dns/dns.h"

enum access_result {
    ACCESS_DUNNO,  /* the next item decides */
    ACCESS_OK,     /* this list is done, the next one decides */
    ACCESS_REJECT  /* all is decided: access.rejection */
};

/* What a reply speaks of: its class. */
enum subject {
    SUBJECT_CLIENT, SUBJECT_REVERSE_CLIENT, SUBJECT_HELO, SUBJECT_SENDER, SUBJECT_RECIPIENT, SUBJECT_ETRN, SUBJECT_DATA, SUBJECT_END_OF_DATA,
    SUBJECT_CCERT, SUBJECT_SASL
};
const char *subject_name(enum subject subject); /* "Sender address" */
/* access_map_status - a status given by a table or a transport: subject and detail must speak of what is refused (RFC 3463 3.2: x.1.N is about addresses).
   A change is logged. */
struct status_code access_map_status(enum subject subject, struct status_code given);

/* A wish to defer that waits for how the rest comes out. */
struct pending {
    int code; /* 0: none */
    char status[12];
    struct slice text;
};

/* One run of the lists of one stage. */
struct access {
    struct session *s;
    enum subject list;             /* whose list is run: what a table alone looks up */
    enum subject subject;          /* what replies speak of: the same, or what an access table's entry was found for */
    struct slice shown;            /* what of it stands in replies: "unknown[192.0.2.1]", an address, "DATA" */
    bool has_recipient;            /* RCPT and VRFY; or the only one of a message, at DATA and END-OF-MESSAGE */
    struct slice recipient, recipient_shown;
    struct slice etrn_domain;
    bool found_by_address;         /* the last entry for a client was found under its address */
    bool warn;                     /* warn_if_reject: only log */
    int depth;                     /* of restriction classes and lists in tables */
    struct pending if_permit, if_reject;
    struct rejection rejection;
    struct route_result *recipient_route; /* NULL until asked for */
};

struct restriction;
struct restriction_list;
struct dnsbl;

enum argument { ARGUMENT_NONE, ARGUMENT_TABLE, ARGUMENT_DOMAIN, ARGUMENT_NUMBER, ARGUMENT_WORD, ARGUMENT_POLICY };
enum { NEEDS_HELO = 1, NEEDS_SENDER = 2, NEEDS_RECIPIENT = 4, NEEDS_SENDER_ADDRESS = 8 /* not <> */ };

/* One restriction that can be named in a list. */
struct restriction_row {
    const char *name;
    enum argument argument;
    int needs;  /* without it the restriction is passed over */
    enum access_result (*check)(struct access *a, const struct restriction *item);
    int detail; /* for functions that serve several rows */
};

/* What of a certificate is looked up. */
enum { SEARCH_CERTIFICATE = 'c', SEARCH_KEY = 'k' };

/* One item of a compiled list. */
struct restriction {
    const struct restriction_row *row;
    const char *word;     /* as written */
    const char *argument; /* NULL: none */
    struct table_list *tables;
    struct dnsbl *dnsbl;
    struct policy *policy;
    int64_t number;
    const char *search_order; /* check_ccert_access: SEARCH_ letters */
    const struct restriction_list *class; /* a restriction class */
};

struct restriction_list {
    struct restriction *items;
    size_t count;
};

/* Somebody who watches the rules being run (explain.c). */
struct access_watch {
    void (*list_begins)(void *context, const struct restriction_list *list);
    /* unlisted - what a parameter of its own asks for, after the lists. */
    void (*unlisted_begins)(void *context, const char *parameter);
    /* passes_over - before a restriction is looked at: true: it is not to be, as if it did not decide. */
    bool (*passes_over)(void *context, struct access *a, const struct restriction *item);
    void (*item_done)(void *context, const struct access *a, const struct restriction *item, bool in_place, enum access_result result);
    void *context;
};

struct access_rules {
    struct server *server;
    struct arena *arena;   /* of the compiled lists */
    struct map *tables;    /* "type:name" -> struct table_list: each opened once */
    struct map *policies;  /* as written -> struct policy */
    struct map *classes;   /* name -> struct restriction_list */
    struct table_list *sender_login;
    struct dnsbl **maps_rbl; /* maps_rbl_domains, for reject_maps_rbl */
    size_t maps_rbl_count;
    bool parent_style;     /* smtpd_access_maps is in parent_domain_matches_subdomains */
    struct restriction_list *client, *helo, *sender, *relay, *recipient, *data, *end_of_data, *etrn;
};

/* ---- access.c ---- */
/* access_run - the items of a list in order. */
enum access_result access_run(struct access *a, const struct restriction_list *list);
/* access_reject - the reply; with warn_if_reject only logged (ACCESS_DUNNO).  access_defer_if_permit - the reply if nothing else is against the
   client; always ACCESS_DUNNO. */
enum access_result access_reject(struct access *a, int code, const char *status, int trouble, const char *format, ...) PRINTF_LIKE(5, 6);
enum access_result access_defer_if_permit(struct access *a, int code, const char *status, const char *format, ...) PRINTF_LIKE(4, 5);
enum access_result access_defer_if_reject(struct access *a, int code, const char *status, const char *format, ...) PRINTF_LIKE(4, 5);
/* access_tempfail - a DNS failure: by the parameter "defer" or "defer_if_permit". */
enum access_result access_tempfail(struct access *a, const char *action, int code, const char *status, const char *format, ...) PRINTF_LIKE(5, 6);
/* access_permit - ACCESS_OK, logged when smtpd_log_access_permit_actions wants it.  table NULL: the restriction itself. */
enum access_result access_permit(struct access *a, struct slice action, enum subject subject, struct slice shown, const char *table);
/* access_permit_client - the same for a restriction about the client. */
enum access_result access_permit_client(struct access *a, const struct restriction *item);
/* access_misconfigured - 451 4.3.5 Server configuration error. */
enum access_result access_misconfigured(struct access *a);
struct route_result *access_recipient_route(struct access *a);
struct route_result *access_sender_route(struct access *a);

/* ---- restrictions.c ---- */
/* restrictions_compile_in - from a table's result, at run time: into the arena, only with tables that are open already. */
const struct restriction_list *restrictions_compile_in(struct access_rules *rules, struct arena *arena, struct slice text);
/* restrictions_stop_relaying - does the list keep strangers from relaying?  restriction_is_warning - is the item warn_if_reject? */
bool restrictions_stop_relaying(const struct restriction_list *list);
bool restriction_is_warning(const struct restriction *item);

/* ---- access_map.c ---- */
/* access_look_up_... - find the entry of something in tables and do what it says.  may_permit: false for what anybody can forge. */
enum access_result access_look_up_address(struct access *a, const struct restriction *item, struct slice address, enum subject subject, struct slice shown);
enum access_result access_look_up_domain(struct access *a, const struct restriction *item, struct slice domain, enum subject subject, struct slice shown,
                                         bool may_permit);
enum access_result access_look_up_host(struct access *a, const struct restriction *item, struct slice name, const char *address, enum subject subject,
                                       struct slice shown, bool may_permit);
enum access_result access_look_up_exact(struct access *a, const struct restriction *item, struct slice key, enum subject subject, struct slice shown);

/* access_obey - do what an entry, or a policy server, says. */
enum access_result access_obey(struct access *a, const struct restriction *item, struct slice value, enum subject subject, struct slice shown);

/* ---- check_*.c, dnsbl.c: the functions of the rows ---- */
#define CHECK(name) enum access_result check_##name(struct access *a, const struct restriction *item)
CHECK(permit);
CHECK(reject);
CHECK(defer);
CHECK(defer_if_permit);
CHECK(defer_if_reject);
CHECK(sleep);
CHECK(pipelining);
CHECK(plaintext);
CHECK(policy_service);
CHECK(greylist);
CHECK(multi_recipient_bounce);
CHECK(tls_clientcerts);
CHECK(tls_all_clientcerts);
CHECK(ccert_access);
CHECK(inet_interfaces);
CHECK(mynetworks);
CHECK(never);
CHECK(unknown);
CHECK(class);
CHECK(list_table);
CHECK(client_access);
CHECK(reverse_client_access);
CHECK(helo_access);
CHECK(sender_access);
CHECK(recipient_access);
CHECK(etrn_access);
CHECK(dns_access);
CHECK(unknown_client);
CHECK(unknown_reverse_client);
CHECK(invalid_helo);
CHECK(non_fqdn_helo);
CHECK(unknown_helo);
CHECK(non_fqdn_sender);
CHECK(non_fqdn_recipient);
CHECK(unknown_sender_domain);
CHECK(unknown_recipient_domain);
CHECK(unlisted_sender);
CHECK(unlisted_recipient);
CHECK(unverified_sender);
CHECK(unverified_recipient);
CHECK(login_mismatch);
CHECK(sasl_authenticated);
CHECK(sasl_access);
CHECK(auth_destination);
CHECK(unauth_destination);
CHECK(mx_backup);
CHECK(rbl_client);
CHECK(maps_rbl);
CHECK(naked_address);
CHECK(relay_domains);
CHECK(rhsbl);
CHECK(dnswl_client);
CHECK(rhswl_client);
#undef CHECK

/* destination_is_authorized - 1 relaying is allowed (own, virtual, relay domains), 0 not, -1 try again. */
int destination_is_authorized(struct access *a);

/* ---- dnsbl.c ---- */
/* dnsbl_parse - "domain[=pattern]" into the arena; NULL (logged) when malformed.  dnsbl_pattern_matches - "127.0.0.[2;4..8]" (tests).
   dnsbl_matches - one of the addresses of an answer does. */
struct dnsbl *dnsbl_parse(struct slice text, struct arena *arena);
/* dnsbl_begin - the item's question is asked now, to be answered when its turn comes.  True: it is answered already.  Waits so many microseconds for that. */
bool dnsbl_begin(struct access *a, const struct restriction *item, int64_t patience);
bool dnsbl_pattern_matches(const struct dnsbl *dnsbl, const uint8_t address[4]);
bool dnsbl_matches(const struct dnsbl *dnsbl, const struct dns_answer *answer);

#endif
