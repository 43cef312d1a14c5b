/* SPDX-License-Identifier: Apache-2.0 */
/* The client's session: connecting, greeting, keepalive, answers, reconnecting. */
#include "net/client.h"

#include <stdlib.h>

#define CONNECT_TIMEOUT (10 * LOOP_SEC)
#define BACKOFF_MIN     (100 * LOOP_MS)
#define BACKOFF_MAX     (5 * LOOP_SEC)
#define KEEPALIVE_MIN   (30 * LOOP_MS) /* between keepalives, however short the lease term */
#define SILENCE_MIN     (3 * LOOP_SEC) /* that is borne, however short the lease term */

/* State */

static void try_connect(void *cookie);
static void keep_alive(void *cookie);

static void set_timer(struct client *c, uint64_t delay, loop_fn *fn)
{
    loop_cancel(c->loop, c->timer);
    c->timer = fn ? loop_timer(c->loop, delay, fn, c) : NULL;
}

static void set_state(struct client *c, enum client_state state, int error, const char *why)
{
    c->state = state;
    client_status_changed(c, why);
    if (c->config.state)
        c->config.state(c->config.cookie, state, error, why);
}

/* Text from the peer, fit for a log or a terminal. */
static char *clean_text(struct slice s)
{
    char *text = xmalloc(s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        text[i] = (char)(s.data[i] < 0x20 || s.data[i] == 0x7F ? '?' : s.data[i]);
    text[s.len] = 0;
    return text;
}

static uint64_t next_backoff(struct client *c)
{
    c->backoff = c->backoff ? c->backoff * 2 : BACKOFF_MIN;
    if (c->backoff > BACKOFF_MAX)
        c->backoff = BACKOFF_MAX;
    /* Clients of one server that restarts do not all come back in the same instant. */
    uint64_t spread = c->backoff / 4;
    return c->backoff - (c->backoff > BACKOFF_MIN ? loop_random(c->loop) % spread : 0);
}

/*
 * ns after which the lease is renewed by a keepalive, unless other requests do. The recovery window
 * counts from the newest answer, too: when it is the shorter one, a session that was idle must still
 * have most of it left when its connection breaks.
 */
static uint64_t keepalive_time(const struct client *c)
{
    uint64_t time = c->term;
    if (c->recovery && c->recovery < time)
        time = c->recovery;
    return time / 3 > KEEPALIVE_MIN ? time / 3 : KEEPALIVE_MIN;
}

static void arm_keepalive(struct client *c)
{
    uint64_t now = loop_now(c->loop), due = c->renewed + keepalive_time(c);
    if (c->asked_id) /* to see whether the server has gone silent */
        due = now + keepalive_time(c) / 2;
    set_timer(c, due > now ? due - now : 0, keep_alive);
}

/* HELLO or a keepalive is about to be sent. */
static void begin_asking(struct client *c)
{
    c->asked_id = ++c->last_id;
    c->asked_at = loop_now(c->loop);
}

/* The connection, or the try for one, has failed. why may belong to the connection. */
static void disconnect(struct client *c, int error, const char *why)
{
    char *kept = xstrdup(why ? why : error_text(error));
    if (c->connecting)
        network_connect_cancel(c->network, c->connecting);
    c->connecting = NULL;
    if (c->conn)
        conn_close(c->conn);
    c->conn = NULL;
    buf_clear(&c->out);
    client_unsend(c);
    if (!c->config.reconnect || error == ECP_EVERSION || error == ECP_ENAMESPACE) {
        set_timer(c, 0, NULL);
        c->lost_error = error;
        client_session_lose(c);
        client_end_waiting(c, error);
        set_state(c, CLIENT_LOST, error, kept);
    } else {
        client_session_away(c);
        set_timer(c, next_backoff(c), try_connect);
        set_state(c, CLIENT_CONNECTING, error, kept);
    }
    free(kept);
}

/* Receiving */

static void closed_by_server(struct client *c, const struct msg_error *m)
{
    char *text = clean_text(m->text);
    char *why = xasprintf("the server says: %s", *text ? text : error_text(m->code));
    disconnect(c, m->code, why);
    free(why);
    free(text);
}

static void welcomed(struct client *c, const struct frame *frame)
{
    struct msg_welcome m;
    if (msg_get_welcome(frame->payload, &m)) {
        disconnect(c, ECP_EPROTO, "the server's greeting is malformed");
        return;
    }
    if (m.version < PROTOCOL_MIN || m.version > PROTOCOL_MAX) {
        disconnect(c, ECP_EVERSION, "the server chose a protocol version that was not offered");
        return;
    }
    char *name = clean_text(m.server);
    free(c->server);
    c->server = xasprintf("%s at %s", name, c->config.address);
    free(name);
    int refusing = c->refusing, error;
    c->refusing = 0;
    if ((error = client_session_welcome(c, &m))) {
        c->refusing = refusing;
        disconnect(c, error,
                   error == ECP_ETIMEOUT ? "the session was given up before the server's greeting came"
                                         : "the server has received what was not sent");
        return;
    }
    client_lease_renew(c, c->asked_at);
    c->asked_id = 0;
    c->backoff = c->tries = 0;
    conn_set_max_payload(c->conn, FRAME_MAX_PAYLOAD);
    arm_keepalive(c);
    resend_again(&c->resend, &c->out);
    client_flush(c);
    set_state(c, CLIENT_NORMAL, 0, NULL);
    client_pump(c);
}

/* An error that answers one call. */
static void call_failed(struct call *call, const struct msg_error *m)
{
    char *text = clean_text(m->text);
    call->kind->failed(call, m->code, m->index, text);
    free(text);
}

static void answered(struct client *c, const struct frame *frame)
{
    struct msg_error m;
    struct call *call = client_find(c, frame->id);
    if (frame->id == 0 || frame->id > c->last_id) {
        disconnect(c, ECP_EPROTO, "the server answered what was not asked");
        return;
    }
    if (call) {
        client_lease_renew(c, call->sent_at);
        call = client_find(c, frame->id);
    } else if (frame->id == c->asked_id) {
        c->asked_id = 0;
        client_lease_renew(c, c->asked_at);
        arm_keepalive(c);
    }
    if (!call) /* a keepalive, or cancelled */
        return;
    bool failed = frame->type == MSG_ERROR;
    int error = failed ? msg_get_error(frame->payload, &m)
                       : (frame->type == call->kind->answer ? 0 : ECP_EPROTO);
    client_forget(c, call);
    if (!failed && call->kind->request == MSG_SYNC)
        client_retain_synced(c, call->sequence);
    c->proven |= !failed && (call_is_update(call) || call->kind->request == MSG_LOCK);
    if (!error && failed)
        call_failed(call, &m);
    else if (!error)
        error = call->kind->answered(call, frame->payload);
    if (error) {
        /* Asked again it would come out the same; of an update the outcome is not known. */
        call->kind->failed(call, call_is_update(call) ? ECP_EDISCONNECTED : ECP_EPROTO, 0, "");
        disconnect(c, ECP_EPROTO, "the server sent a malformed answer");
    }
    call_free(call);
}

static void on_frame(void *cookie, const struct frame *frame)
{
    struct client *c = cookie;
    struct msg_error m;
    uint64_t have;
    if (c->state == CLIENT_NORMAL && resend_got(&c->resend, frame)) {
        resend_tell(&c->resend, &c->out);
        client_flush(c);
    }
    if (frame->type == MSG_ERROR && (frame->id == 0 || c->state == CLIENT_GREETING)) {
        if (msg_get_error(frame->payload, &m))
            disconnect(c, ECP_EPROTO, "the server sent a malformed error");
        else
            closed_by_server(c, &m);
    } else if (c->state == CLIENT_GREETING) {
        if (frame->type == MSG_WELCOME)
            welcomed(c, frame);
        else
            disconnect(c, ECP_EPROTO, "the server did not greet");
    } else if (frame->type == MSG_PING) {
        if (conn_pending(c->conn) <= CONN_OUTPUT_HIGH)
            client_send_empty(c, MSG_PONG, frame->id);
    } else if (frame->type == MSG_HAVE) {
        if (msg_get_have(frame->payload, &have) || resend_had(&c->resend, have))
            disconnect(c, ECP_EPROTO, "the server has received what was not sent");
    } else if (frame->type == MSG_INVALIDATE) {
        if (client_invalidate(c, frame))
            disconnect(c, ECP_EPROTO, "the server sent a malformed invalidation");
    } else if (frame->type == MSG_LOCK_RECALL || frame->type == MSG_LOCK_LOST) {
        if (client_lock_said(c, frame))
            disconnect(c, ECP_EPROTO, "the server sent a malformed message about a lock");
    } else if (frame->type == MSG_BYE) {
        disconnect(c, ECP_ESHUTDOWN, "the server ended the session");
    } else {
        answered(c, frame);
    }
}

static void on_closed(void *cookie, int error, const char *why)
{
    disconnect(cookie, error ? error : ECP_EDISCONNECTED, why);
}

static void on_drained(void *cookie)
{
    client_pump(cookie);
}

static const struct conn_events conn_events = {
    .frame = on_frame, .closed = on_closed, .drained = on_drained};

/* Timers */

static void keep_alive(void *cookie)
{
    struct client *c = cookie;
    c->timer = NULL;
    uint64_t now = loop_now(c->loop), step = keepalive_time(c);
    uint64_t silence = c->term > SILENCE_MIN ? c->term : SILENCE_MIN;
    /* A process that was stopped asks once more before it gives up. */
    if (c->asked_id && !c->local && now - conn_last_heard(c->conn) >= silence && now - c->asked_at >= step) {
        disconnect(c, ECP_ETIMEOUT, "nothing was heard from the server for a lease term");
        return;
    }
    /* What is heard does not renew the lease, only answers do; and slow ones renew it little. */
    if (!c->asked_id && now - c->renewed >= step) {
        c->round_trips++;
        begin_asking(c);
        resend_tell(&c->resend, &c->out);
        client_send_empty(c, MSG_PING, c->asked_id);
    }
    arm_keepalive(c);
}

static void try_timed_out(void *cookie)
{
    struct client *c = cookie;
    c->timer = NULL;
    disconnect(c, ECP_ETIMEOUT,
               c->conn ? "the server did not greet in time" : "no connection in time");
}

static void on_connect(void *cookie, struct stream *stream, int error, const char *why)
{
    struct client *c = cookie;
    c->connecting = NULL;
    if (!stream) {
        disconnect(c, error ? error : ECP_EUNREACHABLE, why);
        return;
    }
    c->conn = conn_new(c->loop, stream, FRAME_MAX_GREETING, &conn_events, c);
    struct msg_hello hello = {.version_min = PROTOCOL_MIN,
                              .version_max = PROTOCOL_MAX,
                              .namespace = slice_str(c->config.namespace),
                              .program = slice_str(c->config.program)};
    hello.resume_session = c->asked_session = c->session;
    hello.resume_secret = c->secret;
    hello.received = c->resend.got;
    hello.instance = c->session ? c->instance : 0;
    hello.retains = c->config.reconnect || c->config.resumes;
    hello.flags = c->config.reconnect || c->config.resumes ? MSG_HELLO_RESUMES : 0;
    begin_asking(c);
    size_t mark = frame_begin(&c->out, MSG_HELLO, c->asked_id);
    msg_put_hello(&c->out, &hello);
    frame_end(&c->out, mark);
    client_flush(c);
    set_state(c, CLIENT_GREETING, 0, NULL);
}

static void try_connect(void *cookie)
{
    struct client *c = cookie;
    c->timer = NULL;
    c->tries++;
    set_timer(c, c->config.connect_timeout, try_timed_out);
    c->connecting = network_connect(c->network, c->config.address, on_connect, c);
}

/* Life */

struct client *client_new(struct loop *loop, struct network *network,
                          const struct client_config *config)
{
    struct client *c = xcalloc(1, sizeof *c);
    c->loop = loop;
    c->network = network;
    c->config = *config;
    c->config.address = xstrdup(config->address);
    c->local = strncmp(config->address, "unix:", 5) == 0;
    c->config.namespace = xstrdup(config->namespace);
    c->config.program = xstrdup(config->program ? config->program : "");
    if (!c->config.connect_timeout)
        c->config.connect_timeout = CONNECT_TIMEOUT;
    c->server = xasprintf("server at %s", config->address);
    client_queue_init(c);
    c->state = CLIENT_CONNECTING;
    client_status_changed(c, NULL);
    try_connect(c);
    return c;
}

void client_set_reconnect(struct client *c, bool reconnect)
{
    c->config.reconnect = reconnect;
}

void client_give_up(struct client *c, int error)
{
    c->config.reconnect = false;
    if (c->state == CLIENT_NORMAL) {
        client_send_empty(c, MSG_BYE, 0);
        conn_close_after_flush(c->conn);
        c->conn = NULL;
    }
    if (c->state != CLIENT_LOST)
        disconnect(c, error, NULL);
}

void client_free(struct client *c)
{
    if (!c)
        return;
    set_timer(c, 0, NULL);
    loop_cancel(c->loop, c->window);
    if (c->connecting)
        network_connect_cancel(c->network, c->connecting);
    if (c->conn) {
        if (c->state == CLIENT_NORMAL)
            client_send_empty(c, MSG_BYE, 0);
        conn_close_after_flush(c->conn);
    }
    client_queue_free(c);
    resend_free(&c->resend);
    client_retain_drop(c);
    buf_free(&c->out);
    free((char *)c->config.address);
    free((char *)c->config.namespace);
    free((char *)c->config.program);
    free(c->server);
    free(c->last_error);
    free(c);
}

enum client_state client_state(const struct client *c)
{
    return c->state;
}

const char *client_server(const struct client *c)
{
    return c->server;
}

uint64_t client_round_trips(const struct client *c)
{
    return c->round_trips;
}
