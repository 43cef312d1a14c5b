/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on LMDB: nodes and meta facts in two named databases of one environment. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "store/engine_lmdb_int.h"

/*
 * The map is larger than the limit, which the store keeps: a transaction copies the pages it
 * changes before the old ones are free.
 */
#define MAP_MORE (UINT64_C(256) << 20)

/* A disk with fewer bytes is full. */
#define DISK_FULL (UINT64_C(1) << 20)

/* Address space, for a database of any size. */
#define READER_MAP (UINT64_C(1) << 40)

int lmdb_error(int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case MDB_NOTFOUND:
        return ECP_ENOENT;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
        return ECP_ENOSPC;
    case ENOMEM:
        return ECP_ENOMEM;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE:
    case MDB_PANIC:
        return ECP_ECORRUPT;
    default:
        return ECP_EIO;
    }
}

/* LMDB says EIO of a write that fell short, as those do that meet the end of a disk. */
static int commit_error(const struct lmdb *db, int rc)
{
    struct statvfs st;
    mdb_filehandle_t fd;
    if (rc == EIO && mdb_env_get_fd(db->env, &fd) == 0 && fstatvfs(fd, &st) == 0 &&
        st.f_bavail * st.f_frsize < DISK_FULL)
        rc = ENOSPC;
    return lmdb_error(rc);
}

static uint64_t map_size(const struct lmdb *db)
{
    return db->limit + (db->limit / 4 + MAP_MORE) / db->page * db->page;
}

static int read_begin(struct engine *engine, struct engine_txn **txn)
{
    struct lmdb *db = lmdb_of(engine);
    int rc = 0;
    if (!db->read.top)
        rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->read.top);
    else if (!db->read.open)
        rc = mdb_txn_renew(db->read.top);
    if (rc)
        return lmdb_error(rc);
    db->read.live = db->read.open = true;
    *txn = &db->read.txn;
    return 0;
}

/* An old snapshot would keep pages from being used again. */
static void let_go(struct lmdb *db)
{
    if (db->read.open)
        mdb_txn_reset(db->read.top);
    db->read.open = false;
}

static void read_end(struct engine_txn *txn)
{
    struct lmdb *db = lmdb_of(txn->engine);
    db->read.live = false;
    if (!db->still)
        let_go(db);
}

static void still(struct engine *engine, bool still)
{
    struct lmdb *db = lmdb_of(engine);
    db->still = still;
    if (!still)
        let_go(db);
}

static int write_begin(struct engine *engine, struct engine_txn **txn)
{
    struct lmdb *db = lmdb_of(engine);
    int dead;
    /* A reader in another process that was killed would keep its pages for ever. */
    int rc = mdb_reader_check(db->env, &dead);
    if (rc == 0)
        rc = mdb_txn_begin(db->env, NULL, 0, &db->write.top);
    if (rc)
        return lmdb_error(rc);
    *txn = &db->write.txn;
    return 0;
}

static void txn_abort(struct engine_txn *txn)
{
    struct lmdb_txn *t = (struct lmdb_txn *)txn;
    if (t->cursor)
        mdb_cursor_close(t->cursor);
    mdb_txn_abort(t->top);
    lmdb_run_forget(t);
    t->cursor = NULL;
    t->top = NULL;
}

static int commit(struct engine_txn *txn)
{
    struct lmdb_txn *t = (struct lmdb_txn *)txn;
    int rc = lmdb_run_end(t);
    if (rc) {
        txn_abort(txn);
        return lmdb_error(rc);
    }
    if (t->cursor)
        mdb_cursor_close(t->cursor);
    rc = mdb_txn_commit(t->top);
    t->cursor = NULL;
    t->top = NULL;
    return commit_error(lmdb_of(txn->engine), rc);
}

static int get(struct engine_txn *txn, struct slice key, struct slice *value)
{
    struct lmdb_txn *t = (struct lmdb_txn *)txn;
    MDB_val k = lmdb_val(key), v;
    if (key.len == 0)
        return ECP_ENOENT;
    int rc = lmdb_run_end(t);
    if (rc == 0)
        rc = mdb_get(t->top, lmdb_of(txn->engine)->nodes, &k, &v);
    if (rc == 0)
        *value = slice_of(v.mv_data, v.mv_size);
    return lmdb_error(rc);
}

static uint64_t bytes_used(struct lmdb *db, MDB_txn *txn, size_t *records)
{
    MDB_stat s;
    if (mdb_stat(txn, db->nodes, &s))
        return 0;
    *records = s.ms_entries;
    return (s.ms_branch_pages + s.ms_leaf_pages + s.ms_overflow_pages + 4) * (uint64_t)db->page;
}

/* One cursor for all puts: neighbours find their page at once. */
static int put(struct engine_txn *txn, struct slice key, struct slice head, struct slice body)
{
    struct lmdb_txn *t = (struct lmdb_txn *)txn;
    MDB_val k = lmdb_val(key), v = {.mv_size = head.len + body.len};
    int rc = t->cursor ? 0 : mdb_cursor_open(t->top, lmdb_of(txn->engine)->nodes, &t->cursor);
    if (rc == 0)
        rc = lmdb_run_put(t, key, key.len + v.mv_size);
    if (rc == 0)
        rc = mdb_cursor_put(t->cursor, &k, &v, MDB_RESERVE);
    if (rc)
        return lmdb_error(rc);
    memcpy(v.mv_data, head.data, head.len);
    if (body.len)
        memcpy((uint8_t *)v.mv_data + head.len, body.data, body.len);
    return 0;
}

static int del(struct engine_txn *txn, struct slice key)
{
    struct lmdb_txn *t = (struct lmdb_txn *)txn;
    MDB_val k = lmdb_val(key);
    int rc = lmdb_run_end(t);
    return lmdb_error(rc ? rc : mdb_del(t->top, lmdb_of(txn->engine)->nodes, &k, NULL));
}

/* LMDB's own idea of "next" after a delete depends on page merges: seeking is certain. */
static int kill_some(struct engine_txn *txn, struct slice prefix, size_t most, bool *more)
{
    struct lmdb_txn *t = (struct lmdb_txn *)txn;
    MDB_cursor *cursor;
    int rc = lmdb_run_end(t);
    if (rc == 0)
        rc = mdb_cursor_open(t->top, lmdb_of(txn->engine)->nodes, &cursor);
    if (rc)
        return lmdb_error(rc);
    *more = false;
    for (size_t i = 0; rc == 0; i++) {
        MDB_val k = lmdb_val(prefix), v;
        rc = mdb_cursor_get(cursor, &k, &v, prefix.len ? MDB_SET_RANGE : MDB_FIRST);
        if (rc || !slice_has_prefix(slice_of(k.mv_data, k.mv_size), prefix))
            break;
        if (i == most) {
            *more = true;
            break;
        }
        rc = mdb_cursor_del(cursor, 0);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : lmdb_error(rc);
}

static int meta_get(struct engine_txn *txn, const char *name, struct slice *value)
{
    MDB_val k = lmdb_val(slice_str(name)), v;
    int rc = mdb_get(((struct lmdb_txn *)txn)->top, lmdb_of(txn->engine)->meta, &k, &v);
    if (rc == 0)
        *value = slice_of(v.mv_data, v.mv_size);
    return lmdb_error(rc);
}

static int meta_put(struct engine_txn *txn, const char *name, struct slice value)
{
    MDB_val k = lmdb_val(slice_str(name)), v = lmdb_val(value);
    return lmdb_error(
        mdb_put(((struct lmdb_txn *)txn)->top, lmdb_of(txn->engine)->meta, &k, &v, 0));
}

static int stat_figures(struct engine *engine, struct engine_stat *stat)
{
    struct lmdb *db = lmdb_of(engine);
    bool own = !db->read.live;
    struct engine_txn *txn;
    int error = own ? read_begin(engine, &txn) : 0;
    if (error)
        return error;
    size_t records = 0;
    uint64_t used = bytes_used(db, db->read.top, &records);
    if (own)
        read_end(&db->read.txn);
    *stat = (struct engine_stat){.limit = db->limit, .used = used, .records = records};
    return 0;
}

static int set_limit(struct engine *engine, uint64_t limit)
{
    struct lmdb *db = lmdb_of(engine);
    uint64_t before = db->limit;
    let_go(db);
    db->limit = limit / db->page * db->page;
    int rc = mdb_env_set_mapsize(db->env, map_size(db));
    if (rc)
        db->limit = before;
    return lmdb_error(rc);
}

static void close_env(struct engine *engine)
{
    struct lmdb *db = lmdb_of(engine);
    lmdb_cursor_free_spare(db);
    if (db->read.top)
        mdb_txn_abort(db->read.top);
    mdb_env_close(db->env);
    buf_free(&db->write.run.tail);
    free(db);
}

static const struct engine_ops ops = {
    .read_begin = read_begin,
    .read_end = read_end,
    .write_begin = write_begin,
    .commit = commit,
    .abort = txn_abort,
    .get = get,
    .put = put,
    .del = del,
    .kill = kill_some,
    .meta_get = meta_get,
    .meta_put = meta_put,
    .cursor_open = lmdb_cursor_open,
    .cursor_close = lmdb_cursor_close,
    .seek = lmdb_seek,
    .last = lmdb_last,
    .next = lmdb_next,
    .prev = lmdb_prev,
    .still = still,
    .stat = stat_figures,
    .set_limit = set_limit,
    .close = close_env,
};

/* LMDB maps the file, and a page that is beyond its end is a SIGBUS: whoever looks for the reason
 * finds it in the log. No more than that: the last pages may be free ones that were never written.
 */
static void warn_if_short(const struct lmdb *db, const char *directory)
{
    MDB_envinfo info;
    MDB_stat s;
    struct stat st;
    mdb_filehandle_t fd;
    if (mdb_env_info(db->env, &info) || mdb_env_stat(db->env, &s) || mdb_env_get_fd(db->env, &fd) ||
        fstat(fd, &st))
        return;
    uint64_t pages = (info.me_last_pgno + 1) * (uint64_t)s.ms_psize;
    if ((uint64_t)st.st_size < pages)
        log_warning("%s/data.mdb has %" PRIu64 " bytes, its pages have %" PRIu64
                    ": if it was cut off, restore a backup",
                    directory, (uint64_t)st.st_size, pages);
}

static int open_databases(struct lmdb *db, unsigned flags)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, flags & MDB_RDONLY, &txn);
    if (rc)
        return rc;
    unsigned create = flags & MDB_RDONLY ? 0 : MDB_CREATE;
    rc = mdb_dbi_open(txn, "nodes", create, &db->nodes);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", create, &db->meta);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int open_env(const char *directory, uint64_t limit, unsigned flags, struct engine **engine,
                    char **why)
{
    struct lmdb *db = xcalloc(1, sizeof(*db));
    db->engine.ops = &ops;
    db->read.txn.engine = db->write.txn.engine = &db->engine;
    db->page = (size_t)sysconf(_SC_PAGESIZE);
    db->limit = limit / db->page * db->page;
    int rc = mdb_env_create(&db->env);
    if (rc)
        goto err0;
    if ((rc = mdb_env_set_maxdbs(db->env, 2)) ||
        (rc = mdb_env_set_mapsize(db->env, map_size(db))) ||
        (rc = mdb_env_open(db->env, directory, flags | MDB_NOTLS | MDB_NORDAHEAD, 0600)))
        goto err1;
    if (!(flags & MDB_RDONLY))
        warn_if_short(db, directory);
    if ((rc = open_databases(db, flags)))
        goto err1;
    *engine = &db->engine;
    return 0;
err1:
    mdb_env_close(db->env);
err0:
    free(db);
    *why = xasprintf("cannot open %s/data.mdb: %s", directory, mdb_strerror(rc));
    return lmdb_error(rc);
}

int engine_lmdb_open(const char *directory, uint64_t limit, struct engine **engine, char **why)
{
    return open_env(directory, limit, 0, engine, why);
}

int engine_lmdb_open_reader(const char *directory, struct engine **engine, char **why)
{
    return open_env(directory, READER_MAP, MDB_RDONLY, engine, why);
}
