/* SPDX-License-Identifier: Apache-2.0 */
/* The cache against a plain tree: random questions, updates, recalls and losses, in any order. */
#include <criterion/criterion.h>

#include "cache/cache.h"
#include "tests/unit/fake_upstream.h"

#define KEYS  85 /* 4 globals, 4 subscripts each, 4 more each: and the root */
#define CALLS 24
#define OWED  16
#define STEPS 6000

/* What a kernel above would hold of a node. */
struct held {
    struct node node;
    uint64_t until;
};

struct world;
struct asked {
    struct world *w;
    struct cache_call *call;
    int key;        /* index; a page's parent */
    size_t version; /* when it was asked */
    struct key from;
    bool after, update;
};

struct world {
    struct fake *f;
    struct cache *c;
    uint64_t seed;
    struct key keys[KEYS];
    struct held held[KEYS];
    struct asked asked[CALLS];
    struct {
        uint64_t serial;
        struct touch touches[8];
        size_t count;
    } owed[OWED];
    size_t owed_count;
    int own; /* updates not answered */
    unsigned hits, leased, plain;
};

static unsigned pick(struct world *w, unsigned below)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(w->seed >> 33) % below;
}

static struct slice key_of(struct world *w, int i)
{
    return key_slice(&w->keys[i]);
}

static uint64_t now(struct world *w)
{
    return loop_now(fake_loop(w->f));
}

static bool same(const struct node *a, const struct node *b)
{
    if (a->flags != b->flags || a->stamp != b->stamp || a->changed != b->changed ||
        a->value_len != b->value_len)
        return false;
    return !a->value.data || slice_equal(a->value, b->value);
}

static bool node_was(struct world *w, struct slice key, const struct node *node, size_t version)
{
    struct node truth = fake_node(w->f, key, version);
    return same(node, &truth);
}

static bool page_was(struct world *w, struct slice parent, struct slice from, bool after,
                     const struct page *page, size_t version)
{
    struct entry e;

    for (size_t i = 0; i < page->count; i++) {
        if (!fake_child(w->f, parent, from, after, version, &e) ||
            !slice_equal(e.sub, page->entries[i].sub) || !same(&page->entries[i].node, &e.node))
            return false;
        from = e.sub;
        after = true;
    }
    return !page->to_end || !fake_child(w->f, parent, from, after, version, &e);
}

/* ---- The kernel above ---- */

static void hold(struct world *w, struct slice key, const struct node *node, uint64_t until)
{
    for (int i = 0; i < KEYS; i++) {
        if (slice_equal(key_of(w, i), key)) {
            w->held[i] = (struct held){.node = *node, .until = until};
            w->held[i].node.value = slice_of(NULL, 0);
        }
    }
}

static void hold_page(struct world *w, struct slice parent, const struct page *page, uint64_t until)
{
    for (size_t i = 0; i < page->count; i++) {
        struct key key;
        key_copy(&key, parent);
        memcpy(key.data + key.len, page->entries[i].sub.data, page->entries[i].sub.len);
        key.len = (uint16_t)(key.len + page->entries[i].sub.len);
        hold(w, key_slice(&key), &page->entries[i].node, until);
    }
}

static void check_held(struct world *w)
{
    for (int i = 0; i < KEYS && w->own == 0; i++)
        if (w->held[i].until > now(w))
            cr_assert(node_was(w, key_of(w, i), &w->held[i].node, fake_version(w->f)),
                      "what was handed out is not recalled");
}

static void let_go(struct world *w, const struct touch *touches, size_t count)
{
    for (size_t t = 0; t < count; t++)
        for (int i = 0; i < KEYS; i++)
            if (touch_hits_node(&touches[t], key_of(w, i)))
                w->held[i].until = 0;
}

static void pay(struct world *w)
{
    uint64_t serial;

    if (w->owed_count == 0)
        return;
    let_go(w, w->owed[0].touches, w->owed[0].count);
    for (size_t i = 0; i < w->owed[0].count; i++)
        free((void *)w->owed[0].touches[i].key.data);
    serial = w->owed[0].serial;
    memmove(w->owed, w->owed + 1, --w->owed_count * sizeof(w->owed[0]));
    cache_recalled(w->c, serial);
}

static void recall(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct world *w = cookie;

    if (serial == 0) {
        let_go(w, touches, count);
        return;
    }
    cr_assert(w->owed_count < OWED && count <= 8);
    w->owed[w->owed_count].serial = serial;
    w->owed[w->owed_count].count = count;
    for (size_t i = 0; i < count; i++)
        w->owed[w->owed_count].touches[i] = (struct touch){
            touches[i].kind,
            slice_of(xmemdup(touches[i].key.data, touches[i].key.len), touches[i].key.len)};
    w->owed_count++;
}

static void lost(void *cookie)
{
    struct world *w = cookie;

    for (int i = 0; i < KEYS; i++)
        w->held[i].until = 0;
}

static const struct cache_events events = {.recall = recall, .lost = lost};

/* ---- Questions ---- */

static void node_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct asked *a = cookie;
    struct world *w = a->w;
    struct slice key = key_of(w, a->key);
    bool right = until && node_was(w, key, node, fake_version(w->f));

    a->call = NULL;
    cr_assert_eq(error, 0);
    for (size_t v = a->version; !until && !right && v <= fake_version(w->f); v++)
        right = node_was(w, key, node, v);
    cr_assert(right, "a node as it was not, or not any more");
    *(until ? &w->leased : &w->plain) += 1;
    if (until)
        hold(w, key, node, until);
}

static void page_done(void *cookie, int error, const struct page *page, uint64_t until)
{
    struct asked *a = cookie;
    struct world *w = a->w;
    struct slice parent = key_of(w, a->key), from = key_slice(&a->from);
    bool right = until && page_was(w, parent, from, a->after, page, fake_version(w->f));

    a->call = NULL;
    cr_assert_eq(error, 0);
    for (size_t v = a->version; !until && !right && v <= fake_version(w->f); v++)
        right = page_was(w, parent, from, a->after, page, v);
    cr_assert(right, "a page as it was not, or not any more");
    cr_assert(page->count || page->to_end);
    *(until ? &w->leased : &w->plain) += 1;
    if (until)
        hold_page(w, parent, page, until);
}

static void update_done(void *cookie, int error, uint64_t stamp)
{
    struct asked *a = cookie;

    a->call = NULL;
    a->w->own--;
    cr_assert(error == 0 || error == ECP_ESTALE);
}

static struct asked *slot(struct world *w)
{
    struct asked *a = &w->asked[pick(w, CALLS)];

    if (a->call)
        return NULL;
    a->w = w;
    a->key = (int)pick(w, KEYS);
    a->version = fake_version(w->f);
    a->update = false;
    a->after = pick(w, 2);
    a->from.len = 0;
    if (pick(w, 2)) {
        struct slice last = key_last(key_of(w, a->key)), parent = key_parent(key_of(w, a->key));
        key_copy(&a->from, last);
        for (int i = 0; i < KEYS; i++)
            if (slice_equal(key_of(w, i), parent))
                a->key = i;
    }
    a->after = a->after && a->from.len;
    return a;
}

static void ask_node(struct world *w, bool only_now)
{
    static const uint32_t sizes[] = {0, 100, 4096};
    struct asked *a = slot(w);
    uint32_t max_value = sizes[pick(w, 3)];
    struct node node;
    uint64_t until;

    if (!a)
        return;
    a->key = (int)pick(w, KEYS);
    if (!cache_node_now(w->c, key_of(w, a->key), max_value, &node, &until)) {
        if (!only_now)
            a->call = cache_node(w->c, key_of(w, a->key), max_value, node_done, a);
        return;
    }
    cr_assert(until > now(w));
    cr_assert(node_was(w, key_of(w, a->key), &node, fake_version(w->f)), "cached node is old");
    if (node.flags & NODE_VALUE && node.value_len <= max_value && max_value)
        cr_assert(node.value.data);
    hold(w, key_of(w, a->key), &node, until);
    w->hits++;
}

static void ask_page(struct world *w, bool only_now)
{
    struct asked *a = slot(w);
    struct page page;
    uint64_t until;

    if (!a)
        return;
    if (!cache_page_now(w->c, key_of(w, a->key), key_slice(&a->from), a->after, &page, &until)) {
        if (!only_now)
            a->call =
                cache_page(w->c, key_of(w, a->key), key_slice(&a->from), a->after, page_done, a);
        return;
    }
    cr_assert(until > now(w) && (page.count || page.to_end));
    cr_assert(
        page_was(w, key_of(w, a->key), key_slice(&a->from), a->after, &page, fake_version(w->f)),
        "cached page is old");
    hold_page(w, key_of(w, a->key), &page, until);
    w->hits++;
}

static const char *value(struct world *w)
{
    static char text[2001];
    unsigned len = pick(w, 8) ? pick(w, 20) : 2000;

    memset(text, 'a' + (int)pick(w, 26), len);
    text[len] = 0;
    return pick(w, 4) ? text : NULL;
}

static void update(struct world *w)
{
    struct asked *a = slot(w);
    const char *text = value(w);
    struct update u = {.kind = text ? UPDATE_SET : UPDATE_KILL};

    if (!a)
        return;
    a->key = 1 + (int)pick(w, KEYS - 1);
    a->update = true;
    u.key = key_of(w, a->key);
    u.value = text ? slice_str(text) : slice_of(NULL, 0);
    u.cond = text && pick(w, 2) ? COND_PRESENT : COND_NONE;
    w->own++;
    a->call = cache_update(w->c, &u, 1, update_done, a);
}

static void cancel(struct world *w)
{
    struct asked *a = &w->asked[pick(w, CALLS)];

    if (!a->call || a->update)
        return;
    cache_cancel(w->c, a->call);
    a->call = NULL;
}

static void step(struct world *w)
{
    unsigned what = pick(w, 100);

    if (what < 16)
        ask_node(w, what < 6);
    else if (what < 28)
        ask_page(w, what < 20);
    else if (what < 31)
        update(w);
    else if (what < 34 && w->owed_count < OWED / 2)
        fake_update(w->f, key_of(w, 1 + (int)pick(w, KEYS - 1)), value(w));
    else if (what < 35 && w->owed_count < OWED / 2)
        fake_take_back(w->f, key_of(w, (int)pick(w, KEYS)));
    else if (what < 38)
        cancel(w);
    else if (what < 55)
        pay(w);
    else if (what < 74 && fake_asked(w->f))
        fake_serve(w->f, pick(w, (unsigned)fake_asked(w->f)));
    else if (what < 92 && fake_sent(w->f))
        fake_deliver(w->f);
    else if (what < 97)
        fake_advance(w->f, (uint64_t)pick(w, 300) * LOOP_MS);
    else if (what == 97 && pick(w, 20) == 0)
        fake_gap(w->f);
    else if (what == 98 && pick(w, 20) == 0)
        fake_advance(w->f, 20 * LOOP_SEC);
    else
        check_held(w);
}

static void make_keys(struct world *w)
{
    static const char *const globals[] = {"A", "B", "C", "D"};
    static const char *const subscripts[] = {"-1", "0", "7", "x"};
    int n = 1;

    for (int g = 0; g < 4; g++) {
        struct key top;
        key_global(&top, slice_str(globals[g]));
        w->keys[n++] = top;
        for (int s = 0; s < 4; s++) {
            struct key key = top;
            key_append(&key, slice_str(subscripts[s]));
            w->keys[n++] = key;
            for (int d = 0; d < 4; d++) {
                w->keys[n] = key;
                key_append(&w->keys[n++], slice_str(subscripts[d]));
            }
        }
    }
    cr_assert_eq(n, KEYS);
}

static void run(uint64_t seed)
{
    struct world *w = xcalloc(1, sizeof(*w));
    struct cache_config config = {.bytes = seed % 3 == 0 ? 6000 : 0};

    w->seed = seed;
    w->f = fake_new();
    make_keys(w);
    for (int i = 0; i < 30; i++)
        fake_update(w->f, key_of(w, 1 + (int)pick(w, KEYS - 1)), "first");
    fake_page_bound(w->f, seed % 2 ? 2 : 0);
    w->c = cache_new(fake_loop(w->f), fake_up(w->f), &config, &events, w);
    for (int i = 0; i < STEPS; i++)
        step(w);
    while (fake_asked(w->f) || fake_sent(w->f) || w->owed_count) {
        pay(w);
        fake_settle(w->f);
    }
    fake_advance(w->f, 0);
    for (int i = 0; i < CALLS; i++)
        cr_assert(!w->asked[i].call, "a question without an answer");
    cr_assert(w->hits && w->leased && w->plain, "seed %lu: %u %u %u", (unsigned long)seed, w->hits,
              w->leased, w->plain);
    cache_free(w->c);
    fake_free(w->f);
    free(w);
}

Test(cache_model, never_old)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        run(seed);
}
