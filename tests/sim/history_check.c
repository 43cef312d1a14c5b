/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what readers saw, and writers were told, agrees with the history. */
#include "tests/sim/history_int.h"

void history_begin(const struct history *h, struct moment *moment, bool cached)
{
    moment->time = h->world->now;
    moment->cached = cached;
    memcpy(moment->known, h->known, sizeof(h->known));
    memcpy(moment->born, h->born, sizeof(h->born));
}

static bool same(const struct state *a, const struct state *b, bool exact)
{
    return a->flags == b->flags && a->stamp == b->stamp && a->len == b->len &&
           (!exact || a->hash == b->hash);
}

_Noreturn static void wrong(const struct history *h, const struct moment *began, unsigned node,
                            const struct state *seen, const char *who)
{
    size_t past = began->known[node];
    const struct state *old = &h->states[past][node];
    while (past > 0 && !same(&h->states[past][node], seen, false))
        past--;
    bool was = same(&h->states[past][node], seen, false);
    world_fail(h->world,
               "%s, a read begun at %.6f, saw %s with flags %x, %u bytes, stamp %llx: %s%zu; known "
               "was commit %zu (flags %x, %u bytes, stamp %llx), the newest is %zu",
               who, (double)began->time / LOOP_SEC, node_name(node), seen->flags, seen->len,
               (unsigned long long)seen->stamp, was ? "that was so at commit " : "that never was ",
               past, began->known[node], old->flags, old->len, (unsigned long long)old->stamp,
               h->count - 1);
}

/* Of those that fit the earliest; one that was taken back only when there is no other. */
static size_t find_seen(const struct history *h, const struct moment *began, unsigned node,
                        const struct state *seen, bool exact)
{
    size_t found = h->count;
    for (size_t at = h->lost_count ? 0 : began->known[node]; at < h->count; at++) {
        if (!history_may_see(h, began, node, at) || !same(&h->states[at][node], seen, exact))
            continue;
        if (!history_lost(h, at))
            return at;
        if (found == h->count)
            found = at;
    }
    return found;
}

size_t history_saw(struct history *h, const struct moment *began, unsigned node,
                   const struct state *seen, bool exact, const char *who)
{
    size_t at = find_seen(h, began, node, seen, exact);
    if (at == h->count)
        wrong(h, began, node, seen, who);
    history_learn(h, node, at);
    return at;
}

void history_saw_all(struct history *h, const struct moment *began, unsigned mask,
                     const struct state *seen, const char *who)
{
    for (size_t at = 0; at < h->count; at++) {
        bool fits = true;
        for (unsigned n = 0; n < NODES && fits; n++)
            fits = !(mask & 1u << n) ||
                   (history_may_see(h, began, n, at) && same(&h->states[at][n], &seen[n], false));
        for (unsigned n = 0; n < NODES && fits; n++)
            if (mask & 1u << n)
                history_learn(h, n, at);
        if (fits)
            return;
    }
    for (unsigned n = 0; n < NODES; n++)
        if (mask & 1u << n)
            history_saw(h, began, n, &seen[n], false, who);
    world_fail(h->world, "%s: a page is no snapshot of any moment", who);
}

/* Whether the update may have changed what is seen of the node. */
static bool concerns(const struct history *h, const struct update *u, unsigned node)
{
    struct slice key = key_slice(&h->keys[node]);
    bool moves = u->kind == UPDATE_MOVE;
    return slice_has_prefix(key, u->key) || slice_has_prefix(u->key, key) ||
           (moves && (slice_has_prefix(key, u->value) || slice_has_prefix(u->value, key)));
}

/* A batch without operations may have been noted together with the one before it. */
static size_t find_commit(const struct history *h, const struct moment *began, uint64_t stamp)
{
    size_t found = 0;
    for (size_t at = h->count - 1; at > 0; at--) {
        const struct lost *l = history_lost(h, at);
        if (h->stamps[at] < stamp || history_is_copy(h, at) || (l && began->time > l->crashed))
            continue;
        if (!found || h->stamps[at] < h->stamps[found])
            found = at;
    }
    if (!found)
        world_fail(h->world, "acknowledged, but not committed: stamp %llx",
                   (unsigned long long)stamp);
    return found;
}

static void promised(struct history *h, size_t at)
{
    if (history_lost(h, at))
        world_fail(h->world, "commit %zu was acknowledged as durable, and lost", at);
    if (h->durable < at)
        h->durable = at;
}

size_t history_applied(struct history *h, const struct moment *began, const struct update *updates,
                       size_t count, uint64_t stamp, bool durable)
{
    size_t at = find_commit(h, began, stamp);
    for (unsigned n = 1; n < NODES; n++) {
        bool changed = memcmp(&h->states[at][n], &h->states[at - 1][n], sizeof(struct state)) != 0;
        for (size_t i = 0; i < count && changed && h->known[n] < at; i++)
            if (concerns(h, &updates[i], n))
                history_learn(h, n, at);
    }
    if (durable)
        promised(h, at);
    return at;
}

void history_passed(struct history *h, size_t commit)
{
    size_t before = history_before(h, commit);
    while (commit > 0 &&
           same(&h->states[before][NODE_COUNTER], &h->states[commit][NODE_COUNTER], true)) {
        commit = before;
        before = history_before(h, commit);
    }
    promised(h, commit);
}

void history_synced(struct history *h, const struct moment *began)
{
    for (unsigned n = 0; n < NODES; n++)
        if (!history_lost(h, began->known[n]))
            promised(h, began->known[n]);
}
