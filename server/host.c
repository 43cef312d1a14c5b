/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces and listeners of the daemon; applying a configuration; the end. */
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/log.h"
#include "net/event.h"
#include "server/host_internal.h"
#include "store/store.h"

struct host *host_new(struct loop *loop, struct network *network, const char *data)
{
    struct host *host = xcalloc(1, sizeof(*host));

    host->loop = loop;
    host->network = network;
    host->data = xstrdup(data);
    host->server = server_new(loop, NULL);
    return host;
}

void host_free(struct host *host)
{
    server_free(host->server);
    free(host->data);
    free(host);
}

/* ---- Listeners ---- */

static void listener_close(struct host *host, struct host_listener *l)
{
    struct host_listener **at = &host->listeners;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    server_unlisten(host->server, l->listener);
    free(l->address);
    free(l);
}

/* The address with the port that the system chose, when it was asked to. */
static void log_listening(const char *address, const struct listener *listener)
{
    size_t len = strlen(address);

    if (len > 2 && strncmp(address, "unix:", 5) != 0 && strcmp(address + len - 2, ":0") == 0)
        log_notice("listening on %.*s:%d", (int)(len - 2), address, event_listener_port(listener));
    else
        log_notice("listening on %s", address);
}

static int want_listener(struct host *host, const char *address, char **why)
{
    struct host_listener *l;
    struct listener *listener;
    int error;

    for (l = host->listeners; l; l = l->next) {
        if (strcmp(l->address, address) == 0) {
            l->wanted = true;
            return 0;
        }
    }
    error = server_listen(host->server, host->network, address, &listener, why);
    if (error) {
        if (!*why)
            *why = xasprintf("cannot listen on %s: %s", address, error_text(error));
        return error;
    }
    l = xcalloc(1, sizeof(*l));
    l->address = xstrdup(address);
    l->listener = listener;
    l->wanted = l->fresh = true;
    l->next = host->listeners;
    host->listeners = l;
    return 0;
}

/* ---- Namespaces: nothing here can fail, so they change when the rest has succeeded ---- */

static const struct config_namespace *find_wanted(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->namespace_count; i++)
        if (strcmp(config->namespaces[i].name, name) == 0)
            return &config->namespaces[i];
    return NULL;
}

static void drop_namespaces(struct host *host, const struct config *config)
{
    struct host_namespace **at = &host->namespaces, *ns;
    const struct config_namespace *want;

    while ((ns = *at)) {
        want = config ? find_wanted(config, ns->name) : NULL;
        if (want && strcmp(want->database, ns->database->name) == 0) {
            at = &ns->next;
            continue;
        }
        *at = ns->next;
        server_remove_namespace(host->server, ns->name);
        free(ns->name);
        free(ns);
    }
}

static void add_namespaces(struct host *host, const struct config *config)
{
    for (size_t i = 0; i < config->namespace_count; i++) {
        struct host_database *db = host_find_database(host, config->namespaces[i].database);
        const char *name = config->namespaces[i].name;
        struct host_namespace *ns;

        if (server_add_namespace(host->server, name, db->store, host_database_free_space, db) != 0)
            continue; /* is there already */
        host_database_leases(db, name);
        ns = xcalloc(1, sizeof(*ns));
        ns->name = xstrdup(name);
        ns->database = db;
        ns->next = host->namespaces;
        host->namespaces = ns;
    }
}

/* ---- Applying ---- */

static void forget_marks(struct host *host)
{
    for (struct host_database *db = host->databases; db; db = db->next)
        db->wanted = db->fresh = false;
    for (struct host_listener *l = host->listeners; l; l = l->next)
        l->wanted = l->fresh = false;
}

/* Closes what is fresh (undo), or what is not wanted (commit). */
static void sweep(struct host *host, bool undo)
{
    struct host_database *db, *next_db;
    struct host_listener *l, *next_l;

    for (l = host->listeners; l; l = next_l) {
        next_l = l->next;
        if (undo ? l->fresh : !l->wanted)
            listener_close(host, l);
    }
    for (db = host->databases; db; db = next_db) {
        next_db = db->next;
        if (undo ? db->fresh : !db->wanted)
            host_database_close(db);
    }
}

static void resize(struct host *host, const struct config *config)
{
    for (struct host_database *db = host->databases; db; db = db->next) {
        const struct config_database *want = config_find_database(config, db->name);
        int error;

        if (!want || want->size == db->size)
            continue;
        error = store_set_limit(db->store, want->size);
        if (error)
            log_warning("database %s keeps its size limit: %s", db->name, error_text(error));
        else
            db->size = want->size;
    }
}

int host_apply(struct host *host, const struct config *config, char **why)
{
    struct server_limits limits = {.max_sessions = config->max_sessions,
                                   .max_locks = config->max_locks,
                                   .lease_time = config->lease * LOOP_SEC,
                                   .recovery_time = config->recovery * LOOP_SEC};
    int error = 0;

    *why = NULL;
    forget_marks(host);
    for (size_t i = 0; i < config->database_count && !error; i++)
        error = host_want_database(host, &config->databases[i], why);
    for (size_t i = 0; i < config->listen_count && !error; i++)
        error = want_listener(host, config->listen[i], why);
    if (error) {
        sweep(host, true);
        return error;
    }
    server_set_limits(host->server, &limits);
    drop_namespaces(host, config);
    sweep(host, false);
    resize(host, config);
    add_namespaces(host, config);
    log_set_level((enum log_level)config->log_level);
    for (struct host_listener *l = host->listeners; l; l = l->next)
        if (l->fresh)
            log_listening(l->address, l->listener);
    return 0;
}

/* ---- The end ---- */

static void server_stopped(void *cookie)
{
    struct host *host = cookie;

    drop_namespaces(host, NULL);
    while (host->databases)
        host_database_close(host->databases);
    if (host->closing == 0)
        host->stop_done(host->stop_cookie);
}

void host_stop(struct host *host, loop_fn *done, void *cookie)
{
    struct host_listener *l;

    host->stopping = true;
    host->stop_done = done;
    host->stop_cookie = cookie;
    while ((l = host->listeners))
        listener_close(host, l);
    server_shutdown(host->server, server_stopped, host);
}
