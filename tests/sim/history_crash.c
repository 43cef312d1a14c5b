/* SPDX-License-Identifier: Apache-2.0 */
/* What a crash may take back of the history, and who may still see it. */
#include <stdlib.h>

#include "base/buf.h"
#include "tests/sim/history_int.h"

const struct lost *history_lost(const struct history *h, size_t at)
{
    for (size_t i = h->lost_count; i-- > 0;)
        if (at >= h->lost[i].from && at < h->lost[i].to)
            return &h->lost[i];
    return NULL;
}

size_t history_before(const struct history *h, size_t at)
{
    for (size_t i = h->lost_count; i-- > 0;)
        if (at == h->lost[i].to)
            return h->lost[i].from - 1;
    return at ? at - 1 : 0;
}

bool history_is_copy(const struct history *h, size_t at)
{
    return at && history_before(h, at) != at - 1;
}

static void check_strangers(const struct history *h, struct engine_txn *txn)
{
    const struct engine_ops *ops = txn->engine->ops;
    struct engine_cursor *cursor;
    struct slice key, value;
    ops->cursor_open(txn, &cursor);
    for (int error = ops->seek(cursor, slice_of("", 0), &key, &value); !error;
         error = ops->next(cursor, &key, &value))
        if (history_node(h, key) < 0)
            world_fail(h->world, "after the start the store has a node that nobody made");
    ops->cursor_close(cursor);
}

static bool is_state(const struct history *h, size_t at, const struct state *found)
{
    return memcmp(h->states[at], found, sizeof(h->states[at])) == 0;
}

/* What was found must be as after the last commit up to the newest stamp that was found. */
static size_t find_state(const struct history *h, const struct state *found, uint64_t stamp)
{
    size_t at = h->count - 1;
    while (at > 0 && (h->stamps[at] > stamp || history_lost(h, at)))
        at--;
    /* A batch without operations may have been noted together with the one before it. */
    if (h->stamps[at] < stamp && !is_state(h, at, found) && at + 1 < h->count &&
        is_state(h, at + 1, found))
        at++;
    if (at < h->durable)
        world_fail(h->world,
                   "after the start the store is as after commit %zu, but %zu was durable", at,
                   h->durable);
    if (is_state(h, at, found))
        return at;
    for (size_t as = h->count; as-- > 0;)
        if (is_state(h, as, found))
            world_fail(
                h->world,
                "after the start the store should be as after commit %zu, but is as after %zu", at,
                as);
    world_fail(h->world,
               "after the start the store should be as after commit %zu, but is as never before",
               at);
}

static void take_back(struct history *h, size_t kept, uint64_t stamp, uint64_t crashed,
                      uint64_t until)
{
    struct lost *l;
    h->lost = xrealloc(h->lost, (h->lost_count + 1) * sizeof(*h->lost));
    l = &h->lost[h->lost_count++];
    *l = (struct lost){.from = kept + 1, .to = h->count, .crashed = crashed, .until = until};
    memcpy(l->known, h->known, sizeof(l->known));
    history_add(h);
    memcpy(h->states[l->to], h->states[kept], sizeof(h->states[kept]));
    h->stamps[l->to] = stamp;
}

void history_recovered(struct history *h, struct engine *engine, uint64_t stamp, uint64_t crashed,
                       uint64_t until, uint64_t next)
{
    struct engine_txn *txn;
    struct state found[NODES] = {0};
    size_t last = h->count - 1;
    engine->ops->read_begin(engine, &txn);
    history_read(h, txn, found);
    check_strangers(h, txn);
    engine->ops->read_end(txn);
    size_t kept = find_state(h, found, stamp);
    world_trace(h->world, NULL, "found commit %zu, of %zu; known as durable %zu", kept, last,
                h->durable);
    if (kept < last && !crashed)
        world_fail(h->world, "commits after %zu, up to %zu, were lost without a crash", kept, last);
    if (kept < last)
        take_back(h, kept, stamp, crashed, until);
    h->durable = h->count - 1;
    for (unsigned n = 0; kept < last && n < NODES; n++) {
        if (h->known[n] > kept)
            h->known[n] = h->durable;
        /* A clock that went back: times cannot do better. */
        if (h->born[n] > kept || next <= h->stamps[last])
            h->born[n] = h->durable;
    }
}

void history_learn(struct history *h, unsigned node, size_t at)
{
    if (h->known[node] < at && !history_lost(h, at))
        h->known[node] = at;
}

/* ---- What comes again ---- */

void history_told(struct history *h, size_t commit, uint64_t stamp, unsigned mount,
                  uint64_t incarnation, unsigned session)
{
    h->told = xrealloc(h->told, (h->told_count + 1) * sizeof(*h->told));
    h->told[h->told_count++] = (struct told){.stamp = stamp,
                                             .time = h->world->now,
                                             .at = commit,
                                             .mount = mount,
                                             .session = session,
                                             .incarnation = incarnation};
}

static bool changed(const struct history *h, size_t at, unsigned node)
{
    return memcmp(&h->states[at][node], &h->states[at - 1][node], sizeof(struct state)) != 0;
}

void history_again(struct history *h, uint64_t stamp)
{
    size_t at = h->count - 1;
    for (size_t i = 0; i < h->told_count; i++) {
        struct told *t = &h->told[i];
        if (t->stamp != stamp || t->at == at || !history_lost(h, t->at))
            continue;
        t->again = at;
        for (unsigned n = 1; n < NODES; n++)
            if (changed(h, at, n))
                history_learn(h, n, at);
        world_trace(h->world, NULL, "commit %zu comes again", t->at);
    }
}

/* Whether a read that began then and saw this commit missed what came again. */
static bool missed(const struct history *h, const struct moment *began, unsigned node, size_t at)
{
    for (size_t i = 0; i < h->told_count; i++) {
        const struct told *t = &h->told[i];
        if (t->again > at && t->time <= began->time && changed(h, t->again, node))
            return true;
    }
    return false;
}

bool history_may_see(const struct history *h, const struct moment *began, unsigned node, size_t at)
{
    const struct lost *l = history_lost(h, at);
    if (!l)
        return at >= began->known[node] && !missed(h, began, node, at);
    if (began->time <= l->crashed)
        return at >= began->known[node];
    return began->cached && began->time <= l->until && at >= l->known[node];
}

void history_check_told(const struct history *h, unsigned mount, uint64_t incarnation,
                        unsigned session)
{
    for (size_t i = 0; i < h->told_count; i++) {
        const struct told *t = &h->told[i];
        if (t->mount == mount && t->incarnation == incarnation && t->session == session &&
            history_lost(h, t->at) && (!t->again || history_lost(h, t->again)))
            world_fail(
                h->world,
                "commit %zu, stamp %llx, was acknowledged to mount-%u, lost, and is not there "
                "though the session has gone on",
                t->at, (unsigned long long)t->stamp, mount);
    }
}
