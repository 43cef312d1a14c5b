/* SPDX-License-Identifier: Apache-2.0 */
/* An engine in memory: a sorted array of records and an undo log for the write transaction. */
#include "tests/sim/engine_mem.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/key.h"
#include "base/log.h"

struct rec {
    size_t key_len, len;
    uint8_t data[]; /* key, then value */
};

struct undo {
    struct rec *old; /* to be put back, or NULL */
    struct key key;
};

#define FACTS 8

struct fact {
    char name[16];
    size_t len;
    uint8_t *value; /* on the heap */
};

struct mem {
    struct engine engine;
    struct engine_txn read, write;
    struct rec **recs;
    size_t count, cap;
    struct undo *undo;
    size_t undo_count, undo_cap;
    bool kept, still;
    int (*gate)(void *cookie);
    void *gate_cookie;
    struct fact facts[FACTS], facts_before[FACTS];
    uint64_t limit, used;
};

struct engine_cursor {
    struct mem *mem;
    struct key key; /* where it is */
};

static struct mem *mem_of(struct engine *e)
{
    return (struct mem *)e;
}

static struct slice rec_key(const struct rec *r)
{
    return slice_of(r->data, r->key_len);
}

static uint64_t cost(const struct rec *r)
{
    return r->key_len + r->len + 64;
}

/* Index of the first record >= key. */
static size_t find(struct mem *m, struct slice key, bool *equal)
{
    size_t lo = 0, hi = m->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (slice_compare(rec_key(m->recs[mid]), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *equal = lo < m->count && slice_equal(rec_key(m->recs[lo]), key);
    return lo;
}

/* Puts rec (NULL: nothing) in the key's place; returns what was there. */
static struct rec *exchange(struct mem *m, struct slice key, struct rec *rec)
{
    bool equal;
    size_t i = find(m, key, &equal);
    struct rec *old = equal ? m->recs[i] : NULL;
    if (!old && !rec)
        return NULL;
    if (!old) {
        if (m->count == m->cap) {
            m->cap = m->cap ? m->cap * 2 : 64;
            m->recs = xrealloc(m->recs, m->cap * sizeof(*m->recs));
        }
        memmove(m->recs + i + 1, m->recs + i, (m->count++ - i) * sizeof(*m->recs));
    } else if (!rec) {
        memmove(m->recs + i, m->recs + i + 1, (--m->count - i) * sizeof(*m->recs));
    }
    if (rec)
        m->recs[i] = rec;
    m->used += (rec ? cost(rec) : 0) - (old ? cost(old) : 0);
    return old;
}

static void change(struct mem *m, struct slice key, struct rec *rec)
{
    if (m->undo_count == m->undo_cap) {
        m->undo_cap = m->undo_cap ? m->undo_cap * 2 : 64;
        m->undo = xrealloc(m->undo, m->undo_cap * sizeof(*m->undo));
    }
    struct undo *u = &m->undo[m->undo_count++];
    key_copy(&u->key, key);
    u->old = exchange(m, key_slice(&u->key), rec);
}

static void undo_to(struct mem *m, size_t mark)
{
    while (m->undo_count > mark) {
        struct undo *u = &m->undo[--m->undo_count];
        free(exchange(m, key_slice(&u->key), u->old));
    }
}

static int read_begin(struct engine *e, struct engine_txn **txn)
{
    *txn = &mem_of(e)->read;
    return 0;
}

static void read_end(struct engine_txn *txn)
{
}

static void still(struct engine *e, bool still)
{
    mem_of(e)->still = still;
}

static int write_begin(struct engine *e, struct engine_txn **txn)
{
    struct mem *m = mem_of(e);
    if (m->still)
        log_fatal("a transaction writes while readers rely on what there is");
    memcpy(m->facts_before, m->facts, sizeof(m->facts));
    *txn = &m->write;
    return 0;
}

static void txn_abort(struct engine_txn *txn)
{
    struct mem *m = mem_of(txn->engine);
    undo_to(m, 0);
    for (size_t i = 0; i < FACTS; i++)
        if (m->facts[i].value != m->facts_before[i].value)
            free(m->facts[i].value);
    memcpy(m->facts, m->facts_before, sizeof(m->facts));
}

static int commit(struct engine_txn *txn)
{
    struct mem *m = mem_of(txn->engine);
    int error = m->gate ? m->gate(m->gate_cookie) : 0;
    if (error) {
        txn_abort(txn);
        return error;
    }
    for (size_t i = 0; i < FACTS; i++)
        if (m->facts[i].value != m->facts_before[i].value)
            free(m->facts_before[i].value);
    while (m->undo_count)
        free(m->undo[--m->undo_count].old);
    return 0;
}

static int give(struct mem *m, size_t i, struct slice *key, struct slice *value)
{
    if (i >= m->count)
        return ECP_ENOENT;
    struct rec *r = m->recs[i];
    *key = rec_key(r);
    *value = slice_of(r->data + r->key_len, r->len);
    return 0;
}

static int get(struct engine_txn *txn, struct slice key, struct slice *value)
{
    struct mem *m = mem_of(txn->engine);
    bool equal;
    size_t i = find(m, key, &equal);
    return equal ? give(m, i, &key, value) : ECP_ENOENT;
}

static int put(struct engine_txn *txn, struct slice key, struct slice head, struct slice body)
{
    struct mem *m = mem_of(txn->engine);
    struct rec *r = xmalloc(sizeof(*r) + key.len + head.len + body.len);
    r->key_len = key.len;
    r->len = head.len + body.len;
    memcpy(r->data, key.data, key.len);
    memcpy(r->data + key.len, head.data, head.len);
    if (body.len)
        memcpy(r->data + key.len + head.len, body.data, body.len);
    change(m, rec_key(r), r);
    return 0;
}

static int del(struct engine_txn *txn, struct slice key)
{
    struct mem *m = mem_of(txn->engine);
    bool equal;
    find(m, key, &equal);
    if (!equal)
        return ECP_ENOENT;
    change(m, key, NULL);
    return 0;
}

static int kill_some(struct engine_txn *txn, struct slice prefix, size_t most, bool *more)
{
    struct mem *m = mem_of(txn->engine);
    bool equal;
    size_t i = find(m, prefix, &equal);
    *more = false;
    for (size_t n = 0; i < m->count && slice_has_prefix(rec_key(m->recs[i]), prefix); n++) {
        if (n == most) {
            *more = true;
            break;
        }
        change(m, rec_key(m->recs[i]), NULL);
    }
    return 0;
}

static int meta_get(struct engine_txn *txn, const char *name, struct slice *value)
{
    struct mem *m = mem_of(txn->engine);
    for (size_t i = 0; i < FACTS; i++) {
        if (strcmp(m->facts[i].name, name) == 0) {
            *value = slice_of(m->facts[i].value, m->facts[i].len);
            return 0;
        }
    }
    return ECP_ENOENT;
}

static int meta_put(struct engine_txn *txn, const char *name, struct slice value)
{
    struct mem *m = mem_of(txn->engine);
    for (size_t i = 0; i < FACTS; i++) {
        struct fact *f = &m->facts[i];
        if (f->name[0] && strcmp(f->name, name) != 0)
            continue;
        strncpy(f->name, name, sizeof(f->name) - 1);
        if (f->value != m->facts_before[i].value)
            free(f->value);
        f->value = xmalloc(value.len + 1);
        if (value.len)
            memcpy(f->value, value.data, value.len);
        f->len = value.len;
        return 0;
    }
    return ECP_ENOSPC;
}

static int cursor_open(struct engine_txn *txn, struct engine_cursor **cursor)
{
    *cursor = xcalloc(1, sizeof(**cursor));
    (*cursor)->mem = mem_of(txn->engine);
    return 0;
}

static void cursor_close(struct engine_cursor *c)
{
    free(c);
}

static int stand(struct engine_cursor *c, size_t i, struct slice *found, struct slice *value)
{
    int error = give(c->mem, i, found, value);
    if (error == 0)
        key_copy(&c->key, *found);
    return error;
}

static int seek(struct engine_cursor *c, struct slice key, struct slice *found, struct slice *value)
{
    bool equal;
    return stand(c, find(c->mem, key, &equal), found, value);
}

static int last(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    return stand(c, c->mem->count - 1, found, value);
}

static int next(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    bool equal;
    size_t i = find(c->mem, key_slice(&c->key), &equal);
    return stand(c, i + equal, found, value);
}

static int prev(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    bool equal;
    size_t i = find(c->mem, key_slice(&c->key), &equal);
    return i ? stand(c, i - 1, found, value) : ECP_ENOENT;
}

static int stat_figures(struct engine *e, struct engine_stat *stat)
{
    struct mem *m = mem_of(e);
    *stat = (struct engine_stat){.limit = m->limit, .used = m->used, .records = m->count};
    return 0;
}

static int set_limit(struct engine *e, uint64_t limit)
{
    mem_of(e)->limit = limit;
    return 0;
}

void engine_mem_free(struct engine *e)
{
    struct mem *m = mem_of(e);
    for (size_t i = 0; i < m->count; i++)
        free(m->recs[i]);
    for (size_t i = 0; i < FACTS; i++)
        free(m->facts[i].value);
    free(m->recs);
    free(m->undo);
    free(m);
}

static void close_mem(struct engine *e)
{
    struct mem *m = mem_of(e);
    undo_to(m, 0);
    m->still = false;
    if (!m->kept)
        engine_mem_free(e);
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
    .cursor_open = cursor_open,
    .cursor_close = cursor_close,
    .seek = seek,
    .last = last,
    .next = next,
    .prev = prev,
    .still = still,
    .stat = stat_figures,
    .set_limit = set_limit,
    .close = close_mem,
};

struct engine *engine_mem_new(uint64_t limit)
{
    struct mem *m = xcalloc(1, sizeof(*m));
    m->engine.ops = &ops;
    m->read.engine = m->write.engine = &m->engine;
    m->limit = limit;
    return &m->engine;
}

void engine_mem_keep(struct engine *e)
{
    mem_of(e)->kept = true;
}

void engine_mem_gate(struct engine *e, int (*gate)(void *cookie), void *cookie)
{
    mem_of(e)->gate = gate;
    mem_of(e)->gate_cookie = cookie;
}
