/* SPDX-License-Identifier: Apache-2.0 */
/* Databases, namespaces and listeners of the daemon: opened, reloaded and closed as configured. */
#include "server/host.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/log.h"
#include "net/event.h"
#include "server/config_file.h"
#include "server/server.h"
#include "store/engine_lmdb.h"
#include "store/io.h"
#include "store/store.h"

struct host_database {
    struct host_database *next;
    struct host *host;
    char *name;
    char *directory;      /* absolute */
    struct io_lock *lock; /* NULL for the data directory itself, which main has locked */
    struct store *store;
    uint64_t size;
    bool wanted; /* by the configuration being applied */
    bool fresh;  /* opened for it */
};

struct host_listener {
    struct host_listener *next;
    char *address;
    struct listener *listener;
    bool wanted, fresh;
};

struct host_namespace {
    struct host_namespace *next;
    char *name;
    struct host_database *database;
};

struct host {
    struct loop *loop;
    struct network *network;
    char *data;
    struct server *server;
    struct host_database *databases;
    struct host_listener *listeners;
    struct host_namespace *namespaces;
    size_t closing; /* stores whose close is under way */
    bool stopping;
    loop_fn *stop_done;
    void *stop_cookie;
};

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

/* ---- Databases ---- */

static uint64_t disk_free(void *cookie)
{
    struct host_database *db = cookie;
    struct statvfs st;

    if (statvfs(db->directory, &st) < 0)
        return UINT64_MAX;
    return (uint64_t)st.f_bavail * st.f_frsize;
}

static void database_free(struct host_database *db)
{
    if (db->lock)
        io_posix()->ops->unlock(io_posix(), db->lock);
    free(db->name);
    free(db->directory);
    free(db);
}

static void database_closed(void *cookie)
{
    struct host_database *db = cookie;
    struct host *host = db->host;

    database_free(db);
    host->closing--;
    if (host->stopping && host->closing == 0)
        host->stop_done(host->stop_cookie);
}

static void database_close(struct host_database *db)
{
    struct host_database **at = &db->host->databases;

    while (*at != db)
        at = &(*at)->next;
    *at = db->next;
    db->host->closing++;
    store_close(db->store, database_closed, db);
}

static struct host_database *find_database(struct host *host, const char *name)
{
    struct host_database *db = host->databases;

    while (db && strcmp(db->name, name) != 0)
        db = db->next;
    return db;
}

/* The directory itself, made if need be and locked, without the name it was asked for by. */
static int database_directory(struct host_database *db, const char *path, char **why)
{
    struct io *io = io_posix();
    char real[PATH_MAX], *file, *owner, *reason = NULL;
    int error = io->ops->make_directory(io, path, why);

    if (error)
        return error;
    if (!realpath(path, real)) {
        *why = xasprintf("%s: the directory cannot be resolved", path);
        return ECP_EIO;
    }
    db->directory = xstrdup(real);
    for (struct host_database *other = db->host->databases; other; other = other->next) {
        if (strcmp(other->directory, real) == 0) {
            *why = xasprintf("databases %s and %s share the directory %s", other->name, db->name,
                             real);
            return ECP_EINVAL;
        }
    }
    if (strcmp(real, db->host->data) == 0)
        return 0;
    file = xasprintf("%s/ecpd.lock", real);
    owner = xasprintf("ecpd pid %ld", (long)getpid());
    error = io->ops->lock(io, file, owner, &db->lock, &reason);
    if (error)
        *why = xasprintf("database %s cannot have the directory %s: %s", db->name, real,
                         reason ? reason : error_text(error));
    free(reason);
    free(owner);
    free(file);
    return error;
}

static char *absolute(struct host *host, const char *path)
{
    return path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", host->data, path);
}

static int database_open(struct host *host, const struct config_database *want, char **why)
{
    struct host_database *db = xcalloc(1, sizeof(*db));
    struct engine *engine = NULL;
    char *path = absolute(host, want->directory);
    int error;

    db->host = host;
    db->name = xstrdup(want->name);
    db->size = want->size;
    db->wanted = db->fresh = true;
    error = database_directory(db, path, why);
    if (!error)
        error = engine_lmdb_open(db->directory, want->size, &engine, why);
    if (!error) {
        error = store_open(host->loop, engine, &db->store);
        if (error)
            *why = xasprintf("database %s in %s: %s", db->name, db->directory, error_text(error));
    }
    free(path);
    if (error) {
        database_free(db);
        return error;
    }
    db->next = host->databases;
    host->databases = db;
    return 0;
}

static int want_database(struct host *host, const struct config_database *want, char **why)
{
    struct host_database *db = find_database(host, want->name);
    char real[PATH_MAX], *path;
    bool same;

    if (!db)
        return database_open(host, want, why);
    path = absolute(host, want->directory);
    same = realpath(path, real) && strcmp(real, db->directory) == 0;
    free(path);
    if (!same) {
        *why = xasprintf("the directory of database %s cannot change while ecpd runs: restart it",
                         db->name);
        return ECP_EBUSY;
    }
    db->wanted = true;
    return 0;
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
        struct host_database *db = find_database(host, config->namespaces[i].database);
        const char *name = config->namespaces[i].name;
        struct host_namespace *ns;

        if (server_add_namespace(host->server, name, db->store, disk_free, db) != 0)
            continue; /* is there already */
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
            database_close(db);
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
    struct server_limits limits = {.max_sessions = config->max_sessions};
    int error = 0;

    *why = NULL;
    forget_marks(host);
    for (size_t i = 0; i < config->database_count && !error; i++)
        error = want_database(host, &config->databases[i], why);
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
        database_close(host->databases);
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
