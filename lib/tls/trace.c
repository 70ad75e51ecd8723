/* trace.c (tls) - see trace.h */
#include "tls/trace.h"

#include <openssl/x509.h>

#include "base/buffer.h"
#include "base/log.h"
#include "tls/params.h"

enum { TRACE_MAX = 65536 };

struct trace {
    const char *peer;
    struct buffer lines;
};

/* trace_index - known from the first tls_trace_begin on: no other thread asks before that. */
static int trace_index(void)
{
    static int number = -1;

    if (number < 0)
        number = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return number;
}

/* note - what OpenSSL tells of its steps: states, alerts, and where it stopped. */
static void note(const SSL *ssl, int where, int result)
{
    struct trace *trace = SSL_get_ex_data(ssl, trace_index());
    const char *role = SSL_is_server((SSL *)(uintptr_t)ssl) ? "SSL_accept" : "SSL_connect";
    int error;

    if (!trace)
        return;
    if (where & SSL_CB_LOOP) {
        buffer_printf(&trace->lines, "%s:%s\n", role, SSL_state_string_long(ssl));
    } else if (where & SSL_CB_ALERT) {
        if ((result & 0xff) != SSL3_AD_CLOSE_NOTIFY)
            buffer_printf(&trace->lines, "SSL3 alert %s:%s:%s\n", where & SSL_CB_READ ? "read" : "write", SSL_alert_type_string_long(result),
                          SSL_alert_desc_string_long(result));
    } else if ((where & SSL_CB_EXIT) && result == 0) {
        buffer_printf(&trace->lines, "%s:failed in %s\n", role, SSL_state_string_long(ssl));
    } else if ((where & SSL_CB_EXIT) && result < 0) {
        error = SSL_get_error(ssl, result);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_CLIENT_HELLO_CB)
            buffer_printf(&trace->lines, "%s:error in %s\n", role, SSL_state_string_long(ssl));
    }
}

int tls_trace_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    char name[256] = "";

    if (certificate)
        X509_NAME_oneline(X509_get_subject_name(certificate), name, sizeof(name));
    if (ssl)
        tls_trace_add(ssl, "depth=%d verify=%d subject=%s", X509_STORE_CTX_get_error_depth(store), good, name);
    return good;
}

void tls_trace_add(SSL *ssl, const char *format, ...)
{
    struct trace *trace = SSL_get_ex_data(ssl, trace_index());
    va_list arguments;

    if (!trace)
        return;
    buffer_printf(&trace->lines, "%s: ", trace->peer);
    va_start(arguments, format);
    buffer_vprintf(&trace->lines, format, arguments);
    va_end(arguments);
    buffer_append_string(&trace->lines, "\n");
}

void tls_trace_begin(SSL *ssl, int log, const char *peer)
{
    struct trace *trace;
    int number = trace_index();

    if (!(log & TLS_LOG_STEPS))
        return;
    trace = memory_zalloc(1, sizeof(*trace));
    trace->peer = peer;
    trace->lines = (struct buffer)BUFFER_INIT_MAX(TRACE_MAX);
    SSL_set_ex_data(ssl, number, trace);
    SSL_set_info_callback(ssl, note);
    if (!SSL_get_verify_callback(ssl))
        SSL_set_verify(ssl, SSL_get_verify_mode(ssl), tls_trace_verify);
}

void tls_trace_end(SSL *ssl)
{
    struct trace *trace = SSL_get_ex_data(ssl, trace_index());
    struct slice rest, line;

    if (!trace)
        return;
    SSL_set_info_callback(ssl, NULL);
    SSL_set_ex_data(ssl, trace_index(), NULL);
    rest = buffer_slice(&trace->lines);
    while (slice_next_line(&rest, &line))
        log_info(SLICE_FORMAT, SLICE_ARGS(line));
    buffer_release(&trace->lines);
    free(trace);
}
