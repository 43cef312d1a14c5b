/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the cache share. */
#include "tests/unit/test_cache_util.h"

#include <stdio.h>

struct fake *f;
struct cache *c;
unsigned recalls, losses;
uint64_t owed;
bool answer_later;

static void recall(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    recalls++;
    if (answer_later)
        owed = serial;
    else if (serial)
        cache_recalled(c, serial);
}

static void lost(void *cookie)
{
    losses++;
}

static const struct cache_events events = {.recall = recall, .lost = lost};

void open_with(size_t bytes)
{
    struct cache_config config = {.bytes = bytes};

    recalls = losses = 0;
    answer_later = false;
    f = fake_new();
    c = cache_new(fake_loop(f), fake_up(f), &config, &events, NULL);
}

void open_cache(void)
{
    open_with(0);
}

void close_cache(void)
{
    cache_free(c);
    fake_free(f);
}

/* ---- Keys, and answers kept ---- */

struct key key2(const char *global, int first, int second)
{
    struct key key;
    char text[16];

    key_global(&key, slice_str(global));
    for (int i = 0; i < 2; i++) {
        int subscript = i ? second : first;
        if (subscript < 0)
            return key;
        snprintf(text, sizeof(text), "%d", subscript);
        key_append(&key, slice_str(text));
    }
    return key;
}

void got_node(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct got *g = cookie;

    g->calls++;
    g->error = error;
    g->until = until;
    if (error)
        return;
    g->node = *node;
    snprintf(g->value, sizeof(g->value), "%.*s", (int)node->value.len,
             node->value.data ? (const char *)node->value.data : "");
}

void got_page(void *cookie, int error, const struct page *page, uint64_t until)
{
    struct got *g = cookie;

    g->calls++;
    g->error = error;
    g->until = until;
    g->count = error ? 0 : page->count;
    g->to_end = !error && page->to_end;
}

void got_update(void *cookie, int error, uint64_t stamp)
{
    struct got *g = cookie;

    g->calls++;
    g->error = error;
}

void set(const char *global, int first, int second, const char *value)
{
    struct key key = key2(global, first, second);
    fake_update(f, key_slice(&key), value);
}

struct cache_call *ask(struct got *g, const char *global, int first, int second, uint32_t max_value)
{
    struct key key = key2(global, first, second);

    *g = (struct got){0};
    return cache_node(c, key_slice(&key), max_value, got_node, g);
}

bool cached(const char *global, int first, int second, uint32_t max_value)
{
    struct key key = key2(global, first, second);
    struct node node;
    uint64_t until;

    return cache_node_now(c, key_slice(&key), max_value, &node, &until);
}

void load(const char *global, int first, int second, uint32_t max_value)
{
    struct got g;

    if (cached(global, first, second, max_value))
        return;
    ask(&g, global, first, second, max_value);
    fake_settle(f);
    cr_assert(g.calls == 1 && g.error == 0);
}

size_t list(const char *global, int first)
{
    struct key parent = key2(global, first, -1), from = {0};
    size_t count = 0;

    for (;;) {
        struct page page;
        struct got g = {0};
        uint64_t until;
        while (!cache_page_now(c, key_slice(&parent), key_slice(&from), from.len, &page, &until)) {
            cache_page(c, key_slice(&parent), key_slice(&from), from.len, got_page, &g);
            fake_settle(f);
            cr_assert_eq(g.error, 0);
            cr_assert(g.until);
        }
        count += page.count;
        if (page.to_end)
            return count;
        key_copy(&from, page.entries[page.count - 1].sub);
    }
}

uint64_t figure(const char *name)
{
    struct buf out = {0};
    unsigned long value = 0;
    char *at;

    cache_stats(c, &out);
    put_u8(&out, 0);
    at = strstr((char *)out.data, name);
    cr_assert(at, "no figure %s", name);
    sscanf(at + strlen(name), "%lu", &value);
    buf_free(&out);
    return value;
}
