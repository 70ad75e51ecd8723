/* match.h - match lists: mydestination, mynetworks, relay_domains and their like (compat.md a.4) */
#ifndef POSTERN_TABLE_MATCH_H
#define POSTERN_TABLE_MATCH_H

#include "net/address.h"
#include "table/table.h"

struct match_list;

enum match_result { MATCH_NO, MATCH_YES, MATCH_TRY_AGAIN };

enum match_kind {
    MATCH_STRING_LIST,  /* whole string */
    MATCH_DOMAIN_LIST,  /* name or parent domain */
    MATCH_ADDRESS_LIST  /* namadr_list: host name as a domain list, or address patterns */
};

/* match_list_new - parameter (for messages, and to look whether it is in parent_domain_matches_subdomains), value as from
   config_string.  Reads "/file" elements and opens tables at once.  Never NULL: what cannot be read fails temporarily. */
struct match_list *match_list_new(const char *parameter, const char *value, enum match_kind kind, struct config *config) MUST_CHECK;
void match_list_free(struct match_list *list);
bool match_list_is_empty(const struct match_list *list);
/* match_string, match_domain - compared after case folding.  match_host - name may be empty or "unknown"; address may be NULL.  Waits (tables). */
enum match_result match_string(struct match_list *list, struct slice text);
enum match_result match_domain(struct match_list *list, struct slice domain);
enum match_result match_host(struct match_list *list, struct slice name, const struct net_address *address);
/* match_parent_style - true when the parameter is listed in parent_domain_matches_subdomains. */
bool match_parent_style(struct config *config, const char *parameter);

#endif
