/* SPDX-License-Identifier: Apache-2.0 */
/* A store whose history is known, and its backups, for tests. */
#include "tests/unit/test_store_backup_util.h"

#include <stdio.h>
#include <xxhash.h>

static unsigned below(struct world *w, unsigned n)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(w->seed >> 33) % n;
}

uint64_t engine_sum(struct engine *e)
{
    struct engine_txn *txn;
    struct engine_cursor *cursor;
    struct slice key, value;
    uint64_t sum = 1;
    cr_assert_eq(e->ops->read_begin(e, &txn), 0);
    cr_assert_eq(e->ops->cursor_open(txn, &cursor), 0);
    int error = e->ops->seek(cursor, slice_of("", 0), &key, &value);
    for (; error == 0; error = e->ops->next(cursor, &key, &value)) {
        sum = XXH3_64bits_withSeed(key.data, key.len, sum);
        sum = XXH3_64bits_withSeed(value.data, value.len, sum);
    }
    cr_assert_eq(error, ECP_ENOENT);
    e->ops->cursor_close(cursor);
    e->ops->read_end(txn);
    return sum;
}

/* ---- The store ---- */

static int gate(void *cookie)
{
    struct world *w = cookie;
    return w->gate && below(w, w->gate) == 0 ? ECP_ENOSPC : 0;
}

void world_open(struct world *w)
{
    char *why = NULL;
    unsigned before = w->gate;
    w->gate = 0;
    cr_assert_eq(store_open(w->loop, w->engine, &w->options, &w->store, &why), 0, "%s", why);
    w->gate = before;
}

void world_set_up(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->loop = test_loop_new();
    w->disk = disk_new(seed);
    w->engine = engine_mem_new(LIMIT);
    engine_mem_keep(w->engine);
    engine_mem_gate(w->engine, gate, w);
    w->options = (struct store_options){.io = disk_io(w->disk),
                                        .directory = "db",
                                        .segment_bytes = 150000,
                                        .overlay_bytes = 200000,
                                        .piece_records = 2,
                                        .keep = {.all = true}};
    world_open(w);
}

void world_closed(void *cookie)
{
    ((struct world *)cookie)->closed = true;
}

void world_close(struct world *w)
{
    w->closed = false;
    store_close(w->store, world_closed, w);
    test_loop_run(w->loop);
    cr_assert(w->closed);
}

void world_tear_down(struct world *w)
{
    world_close(w);
    engine_mem_free(w->engine);
    disk_free(w->disk);
    test_loop_free(w->loop);
    free(w);
}

static void done(void *cookie, const struct store_result *r)
{
    struct world *w = cookie;
    w->busy = false;
    if (r->error == 0) {
        cr_assert_lt(w->count, HISTORY);
        w->history[w->count].stamp = r->stamp;
        w->history[w->count++].sum = engine_sum(w->store->engine);
    }
}

static void random_key(struct world *w, struct key *key)
{
    char text[8];
    key_global(key, slice_str(below(w, 2) ? "A" : "B"));
    for (unsigned depth = below(w, 3); depth > 0; depth--) {
        snprintf(text, sizeof(text), "%u", below(w, 9));
        key_append(key, slice_str(text));
    }
}

static void random_batch(struct world *w)
{
    static const uint8_t kinds[] = {UPDATE_SET,    UPDATE_SET,    UPDATE_SET,
                                    UPDATE_APPEND, UPDATE_APPEND, UPDATE_ZKILL,
                                    UPDATE_KILL,   UPDATE_MOVE,   UPDATE_MKDIR};
    unsigned n = 1 + below(w, 3);
    memset(w->value, (int)('a' + below(w, 26)), sizeof(w->value));
    for (unsigned i = 0; i < n; i++) {
        struct update *u = &w->updates[i];
        random_key(w, &w->keys[i]);
        *u = (struct update){.kind = kinds[below(w, sizeof(kinds))], .key = key_slice(&w->keys[i])};
        if (u->kind == UPDATE_MOVE) {
            random_key(w, &w->to[i]);
            u->value = key_slice(&w->to[i]);
        } else if (u->kind == UPDATE_SET || u->kind == UPDATE_APPEND) {
            u->value = slice_of(w->value, below(w, below(w, 4) ? 50 : sizeof(w->value)));
        }
    }
    w->busy = true;
    store_apply(w->store, w->updates, n, (struct store_source){7, w->count}, done, w);
}

void world_go_on(struct world *w, unsigned turns)
{
    w->gate = 6;
    for (unsigned i = 0; i < turns; i++) {
        if (!w->busy)
            random_batch(w);
        if (below(w, 20) == 0)
            store_checkpoint(w->store);
        test_loop_step(w->loop);
    }
    while (w->busy)
        cr_assert(test_loop_step(w->loop));
    w->gate = 0;
}

void world_put(struct world *w, const char *name, struct slice value)
{
    struct key k;
    key_global(&k, slice_str(name));
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&k), .value = value};
    w->busy = true;
    store_apply(w->store, &u, 1, (struct store_source){0}, done, w);
    test_loop_run(w->loop);
    cr_assert(!w->busy);
}

void world_set(struct world *w, const char *name, const char *value)
{
    world_put(w, name, slice_str(value));
}

void world_checkpoint(struct world *w)
{
    store_checkpoint(w->store);
    test_loop_run(w->loop);
}

/* ---- Streams ---- */

int stream_write(void *cookie, struct slice bytes)
{
    struct stream *s = cookie;
    if (s->busy)
        world_go_on(s->busy, 25);
    if (s->fail_after && --s->fail_after == 0)
        return ECP_ENOSPC;
    buf_append_slice(&s->bytes, bytes);
    return 0;
}

static int read_stream(void *cookie, void *to, size_t len, size_t *got)
{
    struct stream *s = cookie;
    *got = len < s->bytes.len - s->at ? len : s->bytes.len - s->at;
    if (*got)
        memcpy(to, s->bytes.data + s->at, *got);
    s->at += *got;
    return 0;
}

int stream_back_up(struct world *w, struct stream *s)
{
    *s = (struct stream){.busy = s->busy, .fail_after = s->fail_after};
    s->backup = (struct store_backup){.io = disk_io(w->disk),
                                      .directory = "db",
                                      .engine = w->engine,
                                      .write = stream_write,
                                      .cookie = s};
    return store_backup(&s->backup, &s->why);
}

void stream_free(struct stream *s)
{
    buf_free(&s->bytes);
    free(s->why);
}

struct engine *stream_restore(struct world *w, struct stream *s, uint64_t until, int *error)
{
    struct engine *engine = engine_mem_new(LIMIT);
    engine_mem_keep(engine);
    s->at = 0;
    free(s->why);
    s->why = NULL;
    s->restore = (struct store_restore){.engine = engine,
                                        .id = 99,
                                        .read = read_stream,
                                        .cookie = s,
                                        .io = disk_io(w->disk),
                                        .journal = until ? "db" : NULL,
                                        .until = until};
    *error = store_restore(&s->restore, &s->why);
    return engine;
}

void stream_restores(struct world *w, struct stream *s, uint64_t until)
{
    unsigned n = 0;
    int error;
    struct engine *engine = stream_restore(w, s, until, &error);
    cr_assert_eq(error, 0, "%s: %s", error_name(error), s->why);
    uint64_t stamp = s->restore.stamp;
    while (n < w->count && w->history[n].stamp < stamp)
        n++;
    cr_assert_lt(n, w->count);
    cr_assert_eq(w->history[n].stamp, stamp, "no batch has this stamp");
    cr_assert_eq(engine_sum(engine), w->history[n].sum, "batch %u of %u", n, w->count);
    if (until)
        cr_assert(stamp <= until && (n + 1 == w->count || w->history[n + 1].stamp > until));
    engine_mem_free(engine);
}

void stream_refuses(struct world *w, struct stream *s, uint64_t until, int wanted, const char *text)
{
    int error;
    struct engine *engine = stream_restore(w, s, until, &error);
    cr_assert_eq(error, wanted, "%s: %s", error_name(error), s->why);
    cr_assert(s->why && strstr(s->why, text), "%s", s->why ? s->why : "nothing is said");
    engine_mem_free(engine);
}

void world_small_with(struct world **w, struct stream *s, const char *last)
{
    *w = malloc(sizeof(**w));
    world_set_up(*w, 1);
    world_set(*w, "A", "one");
    world_set(*w, "B", "two");
    world_checkpoint(*w);
    world_set(*w, "C", "three");
    world_set(*w, "A", last);
    *s = (struct stream){0};
    cr_assert_eq(stream_back_up(*w, s), 0, "%s", s->why);
    cr_assert(s->backup.end.nodes == 2 && s->backup.end.records == 2);
}

void world_small(struct world **w, struct stream *s)
{
    world_small_with(w, s, "four");
}
