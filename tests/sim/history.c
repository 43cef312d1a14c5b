/* SPDX-License-Identifier: Apache-2.0 */
/* The states of the store, as its engine has them after each commit. */
#include "tests/sim/history_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/buf.h"
#include "store/record.h"

unsigned history_children(unsigned node, unsigned *first)
{
    if (node >= NODE_FIRST + SPREAD || node == NODE_COUNTER)
        return 0;
    *first = node == 0          ? NODE_TOP
             : node == NODE_TOP ? NODE_FIRST
                                : NODE_FIRST + SPREAD + (node - NODE_FIRST) * SPREAD;
    return node == 0 ? 2 : SPREAD;
}

unsigned history_parent(unsigned node)
{
    if (node >= NODE_FIRST + SPREAD)
        return NODE_FIRST + (node - NODE_FIRST - SPREAD) / SPREAD;
    return node >= NODE_FIRST ? NODE_TOP : 0;
}

const char *node_name(unsigned node)
{
    static char texts[4][24];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    if (node < NODE_FIRST)
        return node == 0 ? "root" : node == NODE_TOP ? "^R" : "^Z";
    if (node < NODE_FIRST + SPREAD)
        snprintf(text, sizeof(texts[0]), "^R(%u)", node - NODE_FIRST + 1);
    else
        snprintf(text, sizeof(texts[0]), "^R(%u,%u)", history_parent(node) - NODE_FIRST + 1,
                 (node - NODE_FIRST - SPREAD) % SPREAD + 1);
    return text;
}

static void make_keys(struct history *h)
{
    key_root(&h->keys[0]);
    key_global(&h->keys[NODE_TOP], slice_str("R"));
    key_global(&h->keys[NODE_COUNTER], slice_str("Z"));
    for (unsigned n = NODE_TOP, first; n < NODE_FIRST + SPREAD; n++) {
        for (unsigned i = 0; i < history_children(n, &first); i++) {
            char digit = (char)('1' + i);
            h->keys[first + i] = h->keys[n];
            key_append(&h->keys[first + i], slice_of(&digit, 1));
        }
    }
}

void history_add(struct history *h)
{
    if (h->count == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 256;
        h->states = xrealloc(h->states, h->cap * sizeof(*h->states));
        h->stamps = xrealloc(h->stamps, h->cap * sizeof(*h->stamps));
    }
    memset(h->states[h->count], 0, sizeof(*h->states));
    h->stamps[h->count] = 0;
    h->count++;
}

void history_init(struct history *h, struct world *world)
{
    *h = (struct history){.world = world};
    make_keys(h);
    history_add(h);
}

void history_free(struct history *h)
{
    free(h->states);
    free(h->stamps);
    free(h->lost);
    free(h->told);
}

int history_node(const struct history *h, struct slice key)
{
    for (int n = 0; n < NODES; n++)
        if (slice_equal(key_slice(&h->keys[n]), key))
            return n;
    return -1;
}

const struct state *history_now(const struct history *h, unsigned node)
{
    return &h->states[h->count - 1][node];
}

struct state state_of(const struct node *node)
{
    struct state s = {.flags = node->flags, .len = node->value_len, .stamp = node->stamp};
    if (node->value.data)
        s.hash = XXH3_64bits(node->value.data, node->value.len);
    return s;
}

/* Every token was appended or set once: it must not be there twice. */
static void check_tokens(const struct history *h, struct slice value)
{
    const char *at = (const char *)value.data, *end = at + value.len;
    while (at < end) {
        const char *stop = memchr(at, ';', (size_t)(end - at));
        size_t n = stop ? (size_t)(stop - at) + 1 : 0;
        if (!stop)
            return;
        if (memmem(stop + 1, (size_t)(end - stop - 1), at, n))
            world_fail(h->world, "an update was applied twice: \"%.*s\"", (int)n, at);
        at = stop + 1;
    }
}

static void read_node(const struct history *h, struct engine_txn *txn, unsigned n, struct state *s)
{
    struct slice bytes;
    struct record record;
    if (txn->engine->ops->get(txn, key_slice(&h->keys[n]), &bytes) || record_parse(bytes, &record))
        return;
    s->flags = record.flags;
    s->stamp = record.stamp;
    if (!(record.flags & NODE_VALUE))
        return;
    s->len = (uint32_t)record.value.len;
    s->hash = XXH3_64bits(record.value.data, record.value.len);
    check_tokens(h, record.value);
}

void history_read(const struct history *h, struct engine_txn *txn, struct state *s)
{
    for (unsigned n = NODES - 1; n > 0; n--) {
        uint8_t below = s[n].flags;
        read_node(h, txn, n, &s[n]);
        s[n].flags |= below;
        if (s[n].flags)
            s[history_parent(n)].flags |= NODE_CHILDREN;
    }
}

static bool is_directory(const struct state *s)
{
    return s->flags & (NODE_DIR | NODE_CHILDREN);
}

/* A directory that was moved brings its times along. */
static void note_births(struct history *h)
{
    const struct state *new = h->states[h->count - 1], *old = h->states[h->count - 2];
    for (unsigned n = 1; n < NODES; n++)
        if (is_directory(&new[n]) &&
            (!is_directory(&old[n]) || (new[n].stamp &&new[n].stamp < old[n].stamp)))
            h->born[n] = h->count - 1;
}

/* By a crash, and nobody had been told that it was done; what was told comes again. */
static bool was_lost(const struct history *h, uint64_t stamp)
{
    bool lost = false;
    for (size_t i = 0; i < h->told_count; i++)
        if (h->told[i].stamp == stamp)
            return false;
    for (size_t at = 1; at < h->count; at++) {
        if (h->states[at][NODE_COUNTER].stamp != stamp)
            continue;
        if (!history_lost(h, at))
            return false;
        lost = true;
    }
    return lost;
}

/* Who changes the counter has it alone since reading it; but a crash may have taken back what the
 * same session had written, and was told to have failed. */
static void check_counter(const struct history *h, struct engine_txn *txn)
{
    const struct state *new = &h->states[h->count - 1][NODE_COUNTER],
                       *old = &h->states[h->count - 2][NODE_COUNTER];
    struct slice bytes;
    struct record record;
    unsigned mount, number;
    unsigned long long before;
    if (new->stamp == old->stamp ||
        txn->engine->ops->get(txn, key_slice(&h->keys[NODE_COUNTER]), &bytes) ||
        record_parse(bytes, &record))
        return;
    char *text = xasprintf("%.*s", (int)record.value.len, (const char *)record.value.data);
    if (sscanf(text, COUNTER_FORMAT, &mount, &number, &before) != 3 ||
        (before != old->stamp && !was_lost(h, before)))
        world_fail(h->world, "a lock did not keep others out: after stamp %llx came \"%s\"",
                   (unsigned long long)old->stamp, text);
    free(text);
}

void history_committed(struct history *h, struct engine_txn *txn, uint64_t stamp)
{
    struct state *s;
    history_add(h);
    s = h->states[h->count - 1];
    history_read(h, txn, s);
    h->stamps[h->count - 1] = stamp;
    note_births(h);
    history_again(h, stamp);
    check_counter(h, txn);
    if (stamp <= h->stamps[h->count - 2])
        world_fail(h->world, "stamps do not rise");
    for (unsigned n = 1; h->world->verbose && n < NODES; n++)
        if (memcmp(&s[n], &h->states[h->count - 2][n], sizeof(*s)) != 0)
            world_trace(h->world, NULL, "commit %zu: %s is %x len %u stamp %llx", h->count - 1,
                        node_name(n), s[n].flags, s[n].len, (unsigned long long)s[n].stamp);
}
