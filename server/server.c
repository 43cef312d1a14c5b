/* SPDX-License-Identifier: Apache-2.0 */
/* The server itself: lists of namespaces, listeners and sessions, and the orderly shutdown. */
#include <inttypes.h>
#include <stdlib.h>
#include "base/log.h"
#include "server/batch.h"
#include "server/locks.h"
#include "server/replay.h"

#define SHUTDOWN_TAKE  (2 * LOOP_SEC) /* for leases to be given back */
#define SHUTDOWN_STEP  (10 * LOOP_MS)
#define SHUTDOWN_FLUSH (2 * LOOP_SEC) /* for the last words to leave, once all is answered */

struct server_listener {
    struct server_listener *next;
    struct network *network;
    struct listener *listener;
};

struct server {
    struct loop *loop;
    struct server_limits limits;
    uint64_t instance;
    uint64_t started; /* loop_now */
    struct namespace *namespaces;
    struct backend *backends; /* of the namespaces */
    struct server_listener *listeners;
    struct session *sessions;
    size_t session_count; /* with a connection */
    size_t away_count;    /* without */
    bool stopping;
    struct loop_event *stop_timer;
    uint64_t take_until;  /* 0 while updates are under way */
    uint64_t flush_until; /* 0 while leases are being taken back */
    loop_fn *stop_done;
    void *stop_cookie;
};

struct server *server_new(struct loop *loop, const struct server_limits *limits)
{
    struct server *server = xcalloc(1, sizeof(*server));

    server->loop = loop;
    server->instance = loop_random(loop);
    server->started = loop_now(loop);
    server_set_limits(server, limits);
    return server;
}

void server_set_limits(struct server *server, const struct server_limits *limits)
{
    struct server_limits *own = &server->limits;

    *own = limits ? *limits : (struct server_limits){0};
    if (!own->max_sessions)
        own->max_sessions = 1024;
    if (!own->hello_time)
        own->hello_time = 10 * LOOP_SEC;
    if (!own->lease_time)
        own->lease_time = SERVER_LEASE_MS * LOOP_MS;
    if (!own->silence_time)
        own->silence_time = 3 * own->lease_time;
    if (!own->recovery_time)
        own->recovery_time = SERVER_RECOVERY_MS * LOOP_MS;
    if (!own->update_bytes)
        own->update_bytes = SERVER_UPDATE_BYTES;
}

struct loop *server_loop(const struct server *server)
{
    return server->loop;
}

struct server_limits *server_limits(struct server *server)
{
    return &server->limits;
}

uint64_t server_instance(const struct server *server)
{
    return server->instance;
}

size_t server_sessions(const struct server *server)
{
    return server->session_count;
}

void server_stats(const struct server *server, struct buf *out)
{
    const struct server_limits *limits = &server->limits;
    struct space space;

    buf_printf(out, "instance %016" PRIx64 "\nuptime_seconds %" PRIu64 "\n", server->instance,
               (loop_now(server->loop) - server->started) / LOOP_SEC);
    buf_printf(out, "sessions %zu\nsessions_away %zu\n", server->session_count,
               server->away_count);
    buf_printf(out, "lease_term_ms %" PRIu64 "\nrecovery_window_ms %" PRIu64 "\n",
               limits->lease_time / LOOP_MS, limits->recovery_time / LOOP_MS);
    for (struct namespace *ns = server->namespaces; ns; ns = ns->next)
        if (store_space(ns->store, UINT64_MAX, &space) == 0)
            buf_printf(out, "bytes:%s %" PRIu64 "\nrecords:%s %" PRIu64 "\n", ns->name,
                       space.total - space.free, ns->name, space.nodes);
}

/* ---- Namespaces ---- */

struct namespace *server_namespace(struct server *server, struct slice name)
{
    for (struct namespace *ns = server->namespaces; ns; ns = ns->next)
        if (slice_equal(slice_str(ns->name), name))
            return ns;
    return NULL;
}

/* The one of the store, referenced by the caller's namespace. */
static struct backend *backend_of(struct server *server, struct store *store)
{
    struct backend *backend = server->backends;

    while (backend && backend->store != store)
        backend = backend->next;
    if (backend) {
        backend->namespaces++;
        backend->refs++;
        return backend;
    }
    backend = backend_new(server->loop, store, server->limits.recovery_time);
    backend->next = server->backends;
    server->backends = backend;
    return backend;
}

/* Batches may still refer to it; leases are none of anybody's business any more. */
static void backend_leave(struct server *server, struct backend *backend)
{
    struct backend **at = &server->backends;

    if (--backend->namespaces == 0) {
        while (*at != backend)
            at = &(*at)->next;
        *at = backend->next;
        replay_abandon(backend->replay);
        lease_table_remember(backend->leases, NULL, NULL, NULL);
    }
    backend_unref(backend);
}

void server_set_marker(struct server *server, const char *name,
                       bool (*remember)(void *cookie, uint64_t term), void (*forget)(void *cookie),
                       void *cookie)
{
    struct namespace *ns = server_namespace(server, slice_str(name));

    lease_table_remember(ns->backend->leases, remember, forget, cookie);
}

void server_set_grace(struct server *server, const char *name, uint64_t time)
{
    lease_table_grace(server_namespace(server, slice_str(name))->backend->leases, time);
}

int server_add_namespace(struct server *server, const char *name, struct store *store,
                         server_space_fn *space, void *cookie)
{
    struct namespace *ns;

    if (server_namespace(server, slice_str(name)))
        return ECP_EEXIST;
    ns = xcalloc(1, sizeof(*ns));
    ns->name = xstrdup(name);
    ns->store = store;
    ns->backend = backend_of(server, store);
    ns->space = space;
    ns->cookie = cookie;
    ns->next = server->namespaces;
    server->namespaces = ns;
    return 0;
}

static void namespace_free(struct server *server, struct namespace *ns)
{
    backend_leave(server, ns->backend);
    free(ns->name);
    free(ns);
}

static struct session *session_of(const struct server *server, const struct namespace *ns)
{
    struct session *s = server->sessions;

    while (s && s->namespace != ns)
        s = s->next;
    return s;
}

void server_remove_namespace(struct server *server, const char *name)
{
    struct namespace **at = &server->namespaces, *ns;
    struct session *s;

    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    if (!*at)
        return;
    ns = *at;
    *at = ns->next;
    while ((s = session_of(server, ns))) /* the end of one may be that of others */
        session_cut(s, ECP_ENAMESPACE, "the namespace is not served any more");
    namespace_free(server, ns);
}

/* ---- Listeners and sessions ---- */

static void accepted(void *cookie, struct stream *stream)
{
    server_accept(cookie, stream);
}

int server_listen(struct server *server, struct network *network, const char *address,
                  struct listener **listener, char **why)
{
    struct server_listener *l;
    int error = network_listen(network, address, accepted, server, listener, why);

    if (error)
        return error;
    l = xcalloc(1, sizeof(*l));
    l->network = network;
    l->listener = *listener;
    l->next = server->listeners;
    server->listeners = l;
    return 0;
}

void server_unlisten(struct server *server, struct listener *listener)
{
    struct server_listener **at = &server->listeners, *l;

    while (*at && (*at)->listener != listener)
        at = &(*at)->next;
    if (!*at)
        return;
    l = *at;
    *at = l->next;
    network_unlisten(l->network, l->listener);
    free(l);
}

static void unlisten_all(struct server *server)
{
    while (server->listeners)
        server_unlisten(server, server->listeners->listener);
}

void server_accept(struct server *server, struct stream *stream)
{
    if (server->stopping)
        stream_close(stream);
    else
        session_new(server, stream);
}

void server_session_add(struct server *server, struct session *session)
{
    session->prev = NULL;
    session->next = server->sessions;
    if (session->next)
        session->next->prev = session;
    server->sessions = session;
    server->session_count++;
}

void server_session_remove(struct server *server, struct session *session)
{
    if (session->prev)
        session->prev->next = session->next;
    else
        server->sessions = session->next;
    if (session->next)
        session->next->prev = session->prev;
    session->prev = session->next = NULL;
    if (session->away)
        server->away_count--;
    else
        server->session_count--;
}

struct session *server_find_session(struct server *server, uint64_t id)
{
    for (struct session *s = server->sessions; s; s = s->next)
        if (s->id == id && (s->state == SESSION_NORMAL || s->state == SESSION_AWAY))
            return s;
    return NULL;
}

void server_session_connected(struct server *server, struct session *session)
{
    session->away = false;
    server->away_count--;
    server->session_count++;
}

void server_session_disconnected(struct server *server, struct session *session)
{
    session->away = true;
    server->away_count++;
    server->session_count--;
}

bool server_stopping(const struct server *server)
{
    return server->stopping;
}

bool server_has_room(const struct server *server)
{
    return server->away_count < server->limits.max_sessions;
}

/* ---- The end ---- */

static bool updates_under_way(const struct server *server)
{
    for (const struct session *s = server->sessions; s; s = s->next)
        if (s->updates || s->syncs)
            return true;
    return false;
}

/* Everything from everyone; true when all have answered. */
static bool leases_taken(struct server *server)
{
    static const struct store_touch all = {.subtree = true};
    bool ready = true;

    for (struct backend *b = server->backends; b; b = b->next) {
        if (!b->last)
            b->last = lease_recall(b->leases, NULL, &all, 1, true, NULL, NULL);
        ready &= lease_recall_ready(b->last);
        lease_table_forget(b->leases);
    }
    return ready;
}

/* The connection tells of no flush that was small, so the shutdown looks at it step by step. */
static void shutdown_step(void *cookie)
{
    struct server *server = cookie;
    uint64_t now = loop_now(server->loop);
    struct session *next;

    server->stop_timer = NULL;
    if (!server->take_until && !updates_under_way(server))
        server->take_until = now + SHUTDOWN_TAKE;
    if (server->take_until && !server->flush_until &&
        (leases_taken(server) || now >= server->take_until))
        server->flush_until = now + SHUTDOWN_FLUSH;
    for (struct session *s = server->sessions; server->flush_until && s; s = next) {
        next = s->next;
        session_leave_step(s, now >= server->flush_until);
    }
    if (server->sessions || !server->flush_until)
        server->stop_timer = loop_timer(server->loop, SHUTDOWN_STEP, shutdown_step, server);
    else
        server->stop_done(server->stop_cookie);
}

void server_shutdown(struct server *server, loop_fn *done, void *cookie)
{
    server->stopping = true;
    server->stop_done = done;
    server->stop_cookie = cookie;
    unlisten_all(server);
    for (struct session *s = server->sessions; s; s = s->next)
        session_leave(s);
    for (struct backend *b = server->backends; b; b = b->next)
        replay_abandon(b->replay);
    server->stop_timer = loop_soon(server->loop, shutdown_step, server);
}

void server_free(struct server *server)
{
    struct namespace *ns;

    if (!server)
        return;
    server->stopping = true;
    loop_cancel(server->loop, server->stop_timer);
    unlisten_all(server);
    while (server->sessions)
        session_end(server->sessions, false);
    while ((ns = server->namespaces)) {
        server->namespaces = ns->next;
        namespace_free(server, ns);
    }
    free(server);
}
