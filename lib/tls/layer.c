/* layer.c (tls) - see layer.h */
#include "tls/layer.h"

#include <malloc.h>
#include <openssl/err.h>

#include "base/log.h"
#include "run/run.h"

enum {
    READ_FIRST = 1024,           /* what an idle session waits with */
    READ_BUSY = 17 * 1024,       /* a whole record */
    WRITE_PIECE = 16 * 1024,
    CROWD = 100,                 /* handshakes at once that leave holes in the heap, which are given back */
    CALM = 5 * MICROSECONDS,     /* later */
    INLINE_HANDSHAKES = 4        /* with more under way their steps go to other threads, so that sessions in the clear have their turn */
};

struct tls_layer {
    SSL *ssl;
    const struct stream_transport *below;
    void *below_context;
    struct buffer input;   /* from below, not seen by OpenSSL yet: from input_start */
    size_t input_start;
    size_t read_size;
    bool below_ended;
    struct buffer output;  /* for below */
    bool broken;           /* OpenSSL has given up: nothing more may be sent */
};

static unsigned shaking;

unsigned tls_layers_shaking(void)
{
    return shaking;
}

/* ---- what OpenSSL reads and writes ---- */

static int bio_read(BIO *bio, char *data, int len)
{
    struct tls_layer *layer = BIO_get_data(bio);
    size_t there = layer->input.len - layer->input_start, n = (size_t)len < there ? (size_t)len : there;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        if (layer->below_ended)
            return 0;
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(data, layer->input.data + layer->input_start, n);
    layer->input_start += n;
    if (layer->input_start == layer->input.len) {
        buffer_clear(&layer->input);
        layer->input_start = 0;
    }
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    struct tls_layer *layer = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    return buffer_append(&layer->output, data, (size_t)len) ? len : -1;
}

static long bio_control(BIO *bio, int command, long number UNUSED, void *pointer UNUSED)
{
    struct tls_layer *layer = BIO_get_data(bio);

    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return layer->below_ended && layer->input_start == layer->input.len;
    default:
        return 0;
    }
}

static BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *method;

    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_control);
    }
    return method;
}

/* ---- moving bytes ---- */

static bool send_output(struct tls_layer *layer, int64_t deadline, enum stream_error *error)
{
    while (layer->output.len) {
        ssize_t n = layer->below->write(layer->below_context, layer->output.data, layer->output.len, deadline, error);
        if (n <= 0)
            return false;
        buffer_consume(&layer->output, (size_t)n);
    }
    buffer_release(&layer->output);
    return true;
}

/* receive_input - some more from below; the buffer is small while little comes.  False: trouble; the end is no trouble yet. */
static bool receive_input(struct tls_layer *layer, int64_t deadline, enum stream_error *error)
{
    if (layer->input.len == 0 && layer->input.capacity > layer->read_size + 1)
        buffer_release(&layer->input);
    char *room = buffer_reserve(&layer->input, layer->read_size);
    ssize_t n = layer->below->read(layer->below_context, room, layer->read_size, deadline, error);
    if (n < 0)
        return false;
    if (n == 0)
        layer->below_ended = true;
    buffer_commit(&layer->input, (size_t)n);
    layer->read_size = (size_t)n == layer->read_size ? READ_BUSY : n < READ_FIRST / 2 ? READ_FIRST : layer->read_size;
    return true;
}

/* wanted - after a call of OpenSSL that did not finish: move bytes.  1: call again, 0: the end, -1: trouble. */
static int wanted(struct tls_layer *layer, int ssl_error, int64_t deadline, enum stream_error *error)
{
    switch (ssl_error) {
    case SSL_ERROR_WANT_READ:
        return send_output(layer, deadline, error) && receive_input(layer, deadline, error) ? 1 : -1;
    case SSL_ERROR_WANT_WRITE:
        return send_output(layer, deadline, error) ? 1 : -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        layer->broken = true;
        if (!layer->below_ended && log_verbose > 0)
            log_info("TLS library problem: %s", ERR_reason_error_string(ERR_peek_error()));
        ERR_clear_error();
        *error = layer->below_ended ? STREAM_END : STREAM_LOST;
        errno = layer->below_ended ? 0 : EPROTO;
        return layer->below_ended ? 0 : -1;
    }
}

/* ---- the seam ---- */

static ssize_t layer_read(void *context, void *data, size_t len, int64_t deadline, enum stream_error *error)
{
    struct tls_layer *layer = context;
    size_t got = 0;

    if (layer->broken) {
        *error = STREAM_LOST;
        return -1;
    }
    for (;;) {
        if (SSL_read_ex(layer->ssl, data, len > INT_MAX ? INT_MAX : len, &got) == 1)
            return (ssize_t)got;
        int result = wanted(layer, SSL_get_error(layer->ssl, 0), deadline, error);
        if (result <= 0)
            return result;
    }
}

static ssize_t layer_write(void *context, const void *data, size_t len, int64_t deadline, enum stream_error *error)
{
    struct tls_layer *layer = context;
    size_t done = 0;

    if (layer->broken) {
        *error = STREAM_LOST;
        return -1;
    }
    if (layer->output.len && !send_output(layer, deadline, error))
        return -1;
    while (SSL_write_ex(layer->ssl, data, len < WRITE_PIECE ? len : WRITE_PIECE, &done) != 1) {
        if (wanted(layer, SSL_get_error(layer->ssl, 0), deadline, error) <= 0)
            return -1;
    }
    return send_output(layer, deadline, error) ? (ssize_t)done : -1;
}

/* layer_close - a farewell if it can be sent at once. */
static void layer_close(void *context)
{
    struct tls_layer *layer = context;
    enum stream_error error;

    if (!layer->broken && !layer->below_ended && SSL_is_init_finished(layer->ssl))
        SSL_shutdown(layer->ssl);
    ERR_clear_error();
    if (!layer->below_ended)
        send_output(layer, 0, &error);
    SSL_free(layer->ssl);
    buffer_release(&layer->input);
    buffer_release(&layer->output);
    free(layer);
}

/* layer_pending - is there data for the reader, or the end?  Records that carry none (session tickets) are taken on the way. */
static bool layer_pending(void *context)
{
    struct tls_layer *layer = context;
    enum stream_error error;
    char byte;
    size_t got;

    for (;;) {
        if (layer->broken || SSL_peek_ex(layer->ssl, &byte, 1, &got) == 1)
            return true;
        if (SSL_get_error(layer->ssl, 0) != SSL_ERROR_WANT_READ) {
            ERR_clear_error();
            return true;
        }
        if (layer->below_ended)
            return true;
        if (!layer->below->pending || !layer->below->pending(layer->below_context))
            return false;
        if (!receive_input(layer, 0, &error))
            return true;
    }
}

static const struct stream_transport layer_transport = {layer_read, layer_write, layer_close, layer_pending};

/* ---- handshakes ---- */

bool tls_layer_push(struct stream *stream, SSL *ssl, struct tls_layer **result)
{
    struct tls_layer *layer = memory_zalloc(1, sizeof(*layer));
    BIO *bio = BIO_new(bio_method());

    layer->ssl = ssl;
    layer->read_size = READ_BUSY; /* a hello or a flight of certificates comes first */
    BIO_set_data(bio, layer);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    bool clean = stream_push_transport(stream, &layer_transport, layer);
    stream_transport_below(stream, &layer->below, &layer->below_context);
    *result = layer;
    return clean;
}

SSL *tls_layer_ssl(struct tls_layer *layer)
{
    return layer->ssl;
}

/* One call of OpenSSL, maybe in another thread, whose queue of errors is its own. */
struct step {
    SSL *ssl;
    int error;          /* SSL_ERROR_ */
    struct buffer *why; /* NULL: not wanted */
};

static void take_errors(struct buffer *why)
{
    const char *data;
    unsigned long code;
    char text[256];
    int flags;

    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        ERR_error_string_n(code, text, sizeof(text));
        if (why)
            buffer_printf(why, "%s:%s%s\n", text, flags & ERR_TXT_STRING ? data : "", flags & ERR_TXT_STRING ? ":" : "");
    }
}

static void do_step(void *arg)
{
    struct step *step = arg;

    ERR_clear_error();
    int result = SSL_do_handshake(step->ssl);
    step->error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(step->ssl, result);
    take_errors(step->error == SSL_ERROR_SSL ? step->why : NULL);
}

static enum tls_outcome outcome_of(enum stream_error error)
{
    return error == STREAM_TIMEOUT ? TLS_TIMEOUT : error == STREAM_CANCELLED ? TLS_CANCELLED : TLS_LOST;
}

static enum tls_outcome shake(struct tls_layer *layer, bool slow, int64_t deadline, struct buffer *why)
{
    enum stream_error error = STREAM_LOST;

    for (;;) {
        struct step step = {.ssl = layer->ssl, .why = why};
        if (fiber_current() && (slow || shaking > INLINE_HANDSHAKES))
            run_offload(do_step, &step);
        else
            do_step(&step);
        switch (step.error) {
        case SSL_ERROR_NONE:
            return send_output(layer, deadline, &error) ? TLS_DONE : outcome_of(error);
        case SSL_ERROR_WANT_CLIENT_HELLO_CB:
            return TLS_CLIENT_HELLO;
        case SSL_ERROR_WANT_READ:
            if (layer->below_ended)
                return TLS_LOST;
            if (!send_output(layer, deadline, &error) || !receive_input(layer, deadline, &error))
                return outcome_of(error);
            break;
        default:
            layer->broken = true;
            send_output(layer, deadline, &error); /* the alert */
            if (layer->below_ended && why && slice_search(buffer_slice(why), SLICE("unexpected eof")) < why->len)
                buffer_clear(why);
            return step.error != SSL_ERROR_SSL || (layer->below_ended && why && why->len == 0) ? TLS_LOST : TLS_FAILED;
        }
    }
}

static void give_back(void *arg UNUSED)
{
    malloc_trim(0);
}

/* note_end - of a handshake. */
static void note_end(void)
{
    static struct run_timer *timer;
    static unsigned most;

    most = shaking > most ? shaking : most;
    if (--shaking > 0 || most < CROWD)
        return;
    most = 0;
    if (!timer)
        timer = run_timer_new(give_back, NULL);
    run_timer_set(timer, CALM, 0);
}

enum tls_outcome tls_layer_handshake(struct tls_layer *layer, bool slow, int64_t deadline, struct buffer *why)
{
    shaking++;
    enum tls_outcome outcome = shake(layer, slow, deadline, why);
    note_end();
    if (outcome != TLS_CLIENT_HELLO)
        layer->read_size = READ_FIRST;
    return outcome;
}
