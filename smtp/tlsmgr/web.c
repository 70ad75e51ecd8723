/* web.c - see web.h */
#include "web.h"

#include <curl/curl.h>
#include <stdatomic.h>

#include "base/log.h"
#include "dns/dns.h"
#include "names.h"
#include "run/run.h"
#include "service/files.h"
#include "tls/files.h"

enum { CONNECT_SECONDS = 10, TOTAL_SECONDS = 25, REFRESH_SECONDS = 60, AT_ONCE = 60 /* the thread pool has more */, ADDRESSES_MAX = 8 };

struct web {
    const struct tlsmgr_params *params;
    struct tls_file authorities;
    struct tls_file_access access;
    bool any;               /* authorities were read */
    int64_t looked;
    int families;
    struct semaphore turns;
};

/* What the thread works on. */
struct work {
    CURL *curl;
    CURLcode result;
    struct buffer body;
    char error[CURL_ERROR_SIZE];
};

static atomic_bool stopping;

void web_stop(void)
{
    atomic_store(&stopping, true);
}

struct web *web_open(const struct tlsmgr_params *params, int families)
{
    struct web *web = memory_zalloc(1, sizeof(*web));

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        log_fatal("libcurl cannot be used");
    web->params = params;
    web->access = (struct tls_file_access){service_announce_file, service_open_file};
    web->any = tls_file_open(&web->authorities, params->smtp_tls_web_CAfile, &web->access);
    if (!web->any)
        log_warning("smtp_tls_web_CAfile: cannot read %s: %s: no web server is trusted", params->smtp_tls_web_CAfile, strerror(errno));
    web->looked = clock_monotonic();
    web->families = families;
    semaphore_init(&web->turns, AT_ONCE);
    return web;
}

static void refresh(struct web *web)
{
    if (clock_monotonic() - web->looked < REFRESH_SECONDS * MICROSECONDS)
        return;
    web->looked = clock_monotonic();
    if (tls_file_refresh(&web->authorities, &web->access) > 0)
        web->any = true;
}

/* ---- one request ---- */

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    struct work *work = arg;

    return buffer_append(&work->body, data, size * count) ? size * count : 0;
}

static int on_progress(void *arg UNUSED, curl_off_t a UNUSED, curl_off_t b UNUSED, curl_off_t c UNUSED, curl_off_t d UNUSED)
{
    return atomic_load(&stopping);
}

static void perform(void *arg)
{
    struct work *work = arg;

    work->result = curl_easy_perform(work->curl);
}

/* is_plain - libcurl takes the addresses that we found only for the name as it is: one that it would convert first it would look up by itself. */
static bool is_plain(const char *host, struct arena *arena)
{
    struct slice name;

    return domain_name(slice_of(host), arena, &name) && slice_equal_case(name, slice_of(host));
}

/* server_of - host and port of the URL; false when it is none. */
static bool server_of(const char *url, struct arena *arena, const char **host, const char **port)
{
    CURLU *parts = curl_url();
    char *h = NULL, *p = NULL;

    bool good = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(parts, CURLUPART_HOST, &h, 0) == CURLUE_OK
                && curl_url_get(parts, CURLUPART_PORT, &p, CURLU_DEFAULT_PORT) == CURLUE_OK && is_plain(h, arena);
    if (good) {
        *host = arena_strdup(arena, h);
        *port = arena_strdup(arena, p);
    }
    curl_free(h);
    curl_free(p);
    curl_url_cleanup(parts);
    return good;
}

/* find_server - "host:port:address,address" for libcurl, which then asks no resolver.  NULL with a reason. */
static struct curl_slist *find_server(const struct web *web, const char *url, struct arena *arena, struct slice *reason)
{
    const char *host, *port;
    struct buffer text = BUFFER_INIT_MAX(2048);

    if (!server_of(url, arena, &host, &port)) {
        *reason = SLICE("malformed URL");
        return NULL;
    }
    struct dns_answer found = dns_addresses(slice_of(host), web->families, true, arena);
    buffer_printf(&text, "%s:%s:", host, port);
    size_t count = 0;
    for (size_t i = 0; i < found.count && count < ADDRESSES_MAX; i++) {
        struct buffer address = BUFFER_INIT;
        if (found.records[i].type != DNS_A && found.records[i].type != DNS_AAAA)
            continue;
        net_address_text(&found.records[i].address, &address);
        buffer_printf(&text, found.records[i].type == DNS_AAAA ? "%s[%s]" : "%s%s", count++ ? "," : "", buffer_string(&address));
        buffer_release(&address);
    }
    struct curl_slist *list = count ? curl_slist_append(NULL, buffer_string(&text)) : NULL;
    if (!list)
        *reason = arena_format(arena, "no address of %s: %s", host, dns_status_text(found.status));
    buffer_release(&text);
    return list;
}

static void set_options(struct web *web, CURL *curl, struct work *work)
{
    struct curl_blob authorities = {.data = web->authorities.content.data, .len = web->authorities.content.len, .flags = CURL_BLOB_COPY};

    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &authorities);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TOTAL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "postern/" POSTERN_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, work->error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, work);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

static struct curl_slist *set_request(CURL *curl, const struct web_request *request, struct curl_slist *servers, struct arena *arena)
{
    struct curl_slist *headers = NULL;

    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_RESOLVE, servers);
    if (request->content_type) {
        headers = curl_slist_append(NULL, arena_printf(arena, "Content-Type: %s", request->content_type));
        headers = curl_slist_append(headers, "Expect:");
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.data);
    }
    return headers;
}

static void take_answer(struct work *work, struct arena *arena, struct web_answer *answer)
{
    const char *type = NULL;

    if (work->result != CURLE_OK) {
        answer->outcome = work->result == CURLE_PEER_FAILED_VERIFICATION || work->result == CURLE_SSL_CACERT_BADFILE ? WEB_UNTRUSTED : WEB_FAILED;
        answer->reason = arena_slice(arena, slice_of(work->body.overflow ? "the answer is too long"
                                                     : work->error[0]    ? work->error
                                                                         : curl_easy_strerror(work->result)));
        return;
    }
    answer->outcome = WEB_ANSWERED;
    curl_easy_getinfo(work->curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(work->curl, CURLINFO_CONTENT_TYPE, &type);
    struct slice media = slice_of(type);
    answer->content_type = arena_lower(arena, slice_trim(slice_first(media, slice_find(media, ';'))));
    answer->body = arena_slice(arena, buffer_slice(&work->body));
}

void web_ask(struct web *web, const struct web_request *request, struct arena *arena, struct web_answer *answer)
{
    struct work work = {.body = BUFFER_INIT_MAX(request->answer_max)};

    *answer = (struct web_answer){.outcome = WEB_FAILED};
    refresh(web);
    if (!web->any) {
        answer->outcome = WEB_UNTRUSTED;
        answer->reason = arena_format(arena, "no authorities: %s cannot be read", web->params->smtp_tls_web_CAfile);
        return;
    }
    struct curl_slist *servers = find_server(web, request->url, arena, &answer->reason);
    if (!servers)
        return;
    if (semaphore_take(&web->turns, clock_after(TOTAL_SECONDS * MICROSECONDS)) != WAIT_READY) {
        answer->outcome = WEB_BUSY;
        answer->reason = SLICE("too many requests at once");
    } else if ((work.curl = curl_easy_init()) != NULL) {
        set_options(web, work.curl, &work);
        struct curl_slist *headers = set_request(work.curl, request, servers, arena);
        run_offload(perform, &work);
        semaphore_give(&web->turns);
        take_answer(&work, arena, answer);
        curl_easy_cleanup(work.curl);
        curl_slist_free_all(headers);
    } else {
        semaphore_give(&web->turns);
    }
    curl_slist_free_all(servers);
    buffer_release(&work.body);
}
