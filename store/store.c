/* SPDX-License-Identifier: Apache-2.0 */
/* The store: opens and closes, queues batches and has a worker commit them in groups. */
#include "store/store_int.h"

#include <stdlib.h>

struct batch {
    struct batch *next;
    const struct update *updates;
    size_t count;
    store_done_fn *done;
    void *cookie;
    int error;
    uint32_t failed;
    uint64_t stamp;
    struct buf values;
};

static int load_stamp(struct store *s)
{
    struct engine_txn *txn;
    struct slice value;
    const struct engine_ops *ops = s->engine->ops;
    int error = ops->read_begin(s->engine, &txn);
    if (error)
        return error;
    error = ops->meta_get(txn, "stamp", &value);
    if (error == 0 && value.len == 8)
        s->last_stamp = record_get_u64(value.data);
    else if (error == 0)
        error = ECP_ECORRUPT;
    ops->read_end(txn);
    return error == ECP_ENOENT ? 0 : error;
}

int store_open(struct loop *loop, struct engine *engine, struct store **store)
{
    struct store *s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->engine = engine;
    s->tail = &s->waiting;
    int error = load_stamp(s);
    if (error) {
        engine->ops->close(engine);
        free(s);
        return error;
    }
    uint64_t first = s->last_stamp ? s->last_stamp : loop_wall(loop);
    for (size_t i = 0; i < CHANGE_SLOTS; i++)
        s->slots[i] = first;
    s->last_stamp = first;
    s->worker = loop_worker_new(loop, "store");
    *store = s;
    return 0;
}

/* ---- On the worker ---- */

static bool needs_savepoint(const struct batch *b)
{
    if (b->count < 2)
        return false;
    for (size_t i = 0; i < b->count; i++)
        if (apply_may_fail(&b->updates[i]))
            return true;
    return false;
}

static int run_updates(struct apply *a, struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        int error = apply_update(a, &b->updates[i]);
        if (error) {
            b->failed = (uint32_t)i;
            return error;
        }
    }
    return 0;
}

/* Returns fatal errors only; the batch's own go into it. */
static int run_batch(struct apply *a, struct batch *b, struct job *job)
{
    bool saved = needs_savepoint(b);
    size_t changes = job->changes.count;
    int error;
    buf_clear(&b->values);
    b->failed = 0;
    a->values = &b->values;
    a->stamp = job->wall > job->last_stamp ? job->wall : job->last_stamp + 1;
    b->stamp = job->last_stamp = a->stamp;
    if (saved) {
        apply_detach(a);
        if ((error = a->ops->savepoint(a->txn)))
            return error;
    }
    b->error = run_updates(a, b);
    if (apply_fatal(b->error))
        return b->error;
    if (b->error)
        job->changes.count = changes;
    if (!saved)
        return 0;
    apply_detach(a);
    return b->error ? a->ops->rollback(a->txn) : a->ops->release(a->txn);
}

static int put_stamp(struct apply *a, uint64_t stamp)
{
    uint8_t bytes[8];
    record_put_u64(bytes, stamp);
    return a->ops->meta_put(a->txn, "stamp", slice_of(bytes, sizeof(bytes)));
}

/* One transaction for the batches from first up to end. */
static int run_group(struct store *s, struct batch *first, struct batch *end)
{
    struct job *job = &s->job;
    struct apply a = {.ops = s->engine->ops, .changes = &job->changes};
    size_t changes = job->changes.count;
    int error = a.ops->write_begin(s->engine, &a.txn);
    if (error)
        return error;
    for (struct batch *b = first; b != end && error == 0; b = b->next)
        error = run_batch(&a, b, job);
    apply_free(&a);
    if (error == 0)
        error = put_stamp(&a, job->last_stamp);
    if (error)
        a.ops->abort(a.txn);
    else
        error = a.ops->commit(a.txn);
    if (error)
        job->changes.count = changes;
    return error;
}

static void job_work(void *cookie)
{
    struct store *s = cookie;
    int error = run_group(s, s->job.first, NULL);
    if (error == 0)
        return;
    for (struct batch *b = s->job.first; b; b = b->next) {
        if (b != s->job.first || b->next)
            error = run_group(s, b, b->next);
        if (error)
            b->error = error;
    }
}

/* ---- On the loop ---- */

static void apply_limit(struct store *s)
{
    if (s->new_limit && !s->reading && !s->engine->ops->set_limit(s->engine, s->new_limit))
        s->new_limit = 0;
}

static void finish_close(void *cookie)
{
    struct store *s = cookie;
    loop_worker_free(s->loop, s->worker);
    s->engine->ops->close(s->engine);
    loop_fn *closed = s->closed;
    void *closed_cookie = s->closed_cookie;
    free(s->job.changes.list);
    free(s);
    closed(closed_cookie);
}

static void tell(struct batch *b)
{
    struct store_result result = {.error = b->error, .failed = b->failed};
    struct slice *values = NULL;
    if (b->error == 0) {
        result.stamp = b->stamp;
        values = b->values.len ? xcalloc(b->values.len / 4, sizeof(*values)) : NULL;
        struct reader r = reader_of(buf_slice(&b->values));
        while (!reader_at_end(&r) && !r.bad)
            values[result.count++] = get_bytes32(&r);
        result.values = values;
    }
    b->done(b->cookie, &result);
    free(values);
    buf_free(&b->values);
    free(b);
}

static void job_start(void *cookie);

static void job_done(void *cookie)
{
    struct store *s = cookie;
    struct batch *b = s->job.first, *next;
    s->last_stamp = s->job.last_stamp;
    for (size_t i = 0; i < s->job.changes.count; i++) {
        const struct change *c = &s->job.changes.list[i];
        if (s->slots[c->slot] < c->stamp)
            s->slots[c->slot] = c->stamp;
    }
    for (; b; b = next) {
        next = b->next;
        tell(b);
    }
    s->job.first = NULL;
    s->running = false;
    store_run_early(s);
    apply_limit(s);
    if (s->waiting && !s->start)
        s->start = loop_soon(s->loop, job_start, s);
    else if (s->closing && !s->waiting)
        loop_soon(s->loop, finish_close, s);
}

static void job_start(void *cookie)
{
    struct store *s = cookie;
    s->start = NULL;
    if (s->running)
        return;
    apply_limit(s);
    s->running = true;
    s->job.first = s->waiting;
    s->job.wall = loop_wall(s->loop);
    s->job.last_stamp = s->last_stamp;
    s->job.changes.count = 0;
    s->waiting = NULL;
    s->tail = &s->waiting;
    loop_worker_run(s->loop, s->worker, job_work, job_done, s);
}

void store_apply(struct store *s, const struct update *updates, size_t count, store_done_fn *done,
                 void *cookie)
{
    struct batch *b = xcalloc(1, sizeof(*b));
    b->updates = updates;
    b->count = count;
    b->done = done;
    b->cookie = cookie;
    *s->tail = b;
    s->tail = &b->next;
    if (!s->running && !s->start)
        s->start = loop_soon(s->loop, job_start, s);
}

void store_close(struct store *s, loop_fn *done, void *cookie)
{
    s->closing = true;
    s->closed = done;
    s->closed_cookie = cookie;
    store_cancel_reads(s);
    if (!s->running && !s->waiting)
        loop_soon(s->loop, finish_close, s);
}

static bool is_key(struct slice key)
{
    return key.len > 0 && key_valid(key);
}

int update_check(const struct update *u)
{
    if (u->kind < UPDATE_SET || u->kind >= UPDATE_KIND_END || u->cond >= COND_END ||
        u->flags & ~UPDATE_FLAGS_ALL)
        return ECP_EINVAL;
    if (u->flags & UPDATE_VALUE_ONLY && u->kind != UPDATE_MOVE)
        return ECP_EINVAL;
    if (u->key.len > KEY_MAX_LEN || (u->kind == UPDATE_MOVE && u->value.len > KEY_MAX_LEN))
        return ECP_EKEYLONG;
    if (!is_key(u->key) && !(u->kind == UPDATE_KILL && u->key.len == 0))
        return ECP_EINVAL;
    if (u->value.len > VALUE_MAX_LEN)
        return ECP_EVALUELONG;
    switch (u->kind) {
    case UPDATE_SET:
    case UPDATE_APPEND:
    case UPDATE_INCREMENT:
        return 0;
    case UPDATE_MOVE:
        return is_key(u->value) ? 0 : ECP_EINVAL;
    default:
        return u->value.len ? ECP_EINVAL : 0;
    }
}

int store_space(struct store *s, uint64_t disk_free, struct space *space)
{
    struct engine_stat stat;
    int error = s->engine->ops->stat(s->engine, &stat);
    if (error)
        return error;
    uint64_t room = stat.limit > stat.used ? stat.limit - stat.used : 0;
    space->free = room < disk_free ? room : disk_free;
    space->total = stat.used + space->free;
    space->nodes = stat.records;
    return 0;
}

int store_set_limit(struct store *s, uint64_t limit)
{
    struct engine_stat stat;
    int error = s->engine->ops->stat(s->engine, &stat);
    if (error)
        return error;
    if (limit == 0 || limit < stat.used)
        return ECP_EINVAL;
    s->new_limit = limit;
    if (!s->running)
        apply_limit(s);
    return 0;
}
