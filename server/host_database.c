/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's databases: their directories, opened and closed. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/buf.h"
#include "server/host_internal.h"
#include "server/lease_marker.h"
#include "store/engine_lmdb.h"
#include "store/io.h"
#include "store/store.h"

uint64_t host_database_free_space(void *cookie)
{
    struct host_database *db = cookie;
    struct statvfs st;

    if (statvfs(db->directory, &st) < 0)
        return UINT64_MAX;
    return (uint64_t)st.f_bavail * st.f_frsize;
}

static bool remember_leases(void *cookie, uint64_t term)
{
    struct host_database *db = cookie;

    return lease_marker_write(db->directory, term);
}

static void forget_leases(void *cookie)
{
    struct host_database *db = cookie;

    lease_marker_remove(db->directory);
}

void host_database_leases(struct host_database *db, const char *namespace)
{
    uint64_t term = lease_marker_read(db->directory, CONFIG_LEASE_MAX * LOOP_SEC);

    server_set_grace(db->host->server, namespace, term);
    server_set_marker(db->host->server, namespace, remember_leases, forget_leases, db);
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

void host_database_close(struct host_database *db)
{
    struct host_database **at = &db->host->databases;

    while (*at != db)
        at = &(*at)->next;
    *at = db->next;
    db->host->closing++;
    store_close(db->store, database_closed, db);
}

struct host_database *host_find_database(struct host *host, const char *name)
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

static int database_store(struct host_database *db, struct engine *engine,
                          const struct config_database *want, char **why)
{
    struct store_options options = want->store;
    char *reason;
    int error;

    options.io = want->journal ? io_posix() : NULL;
    options.directory = db->directory;
    error = store_open(db->host->loop, engine, &options, &db->store, &reason);
    if (error)
        *why = xasprintf("database %s in %s: %s", db->name, db->directory,
                         reason ? reason : error_text(error));
    free(reason);
    return error;
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
    if (!error)
        error = database_store(db, engine, want, why);
    free(path);
    if (error) {
        database_free(db);
        return error;
    }
    db->next = host->databases;
    host->databases = db;
    return 0;
}

int host_want_database(struct host *host, const struct config_database *want, char **why)
{
    struct host_database *db = host_find_database(host, want->name);
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
