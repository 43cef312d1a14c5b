/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a warm cache per second: cache_get [directories [files in each]]. Prints "NAME
 * NUMBER". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "cache/cache.h"
#include "net/event.h"

#define ROUNDS 4000000

/* ^A(i,j) for all i and j: whatever is asked for is answered with a whole page. */
struct source {
    struct upstream up;
    struct loop *loop;
    unsigned counts[2]; /* of ^A's children, and of theirs */
    uint64_t leases;
    struct cache *cache;
    unsigned next;
};

struct upstream_call {
    struct source *source;
    struct key parent;
    upstream_pages_fn *done;
    void *cookie;
};

static struct key key_of(int first, int second)
{
    struct key key;
    char text[16];

    key_global(&key, slice_str("A"));
    for (int i = 0; i < 2 && (i ? second : first) >= 0; i++) {
        snprintf(text, sizeof(text), "%d", i ? second : first);
        key_append(&key, slice_str(text));
    }
    return key;
}

static void answer(void *cookie)
{
    struct upstream_call *call = cookie;
    struct source *s = call->source;
    struct slice parent = key_slice(&call->parent);
    unsigned count = s->counts[key_depth(parent) > 1];
    struct key *keys = xcalloc(count, sizeof(*keys));
    struct page page = {.parent = parent, .to_end = true, .lease = ++s->leases, .count = count};

    page.entries = xcalloc(count, sizeof(*page.entries));
    for (unsigned i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        keys[i] = call->parent;
        key_append(&keys[i], slice_str(text));
        page.entries[i] = (struct entry){
            .sub = key_last(key_slice(&keys[i])),
            .node = {.flags = NODE_VALUE, .stamp = i, .value_len = 5, .value = slice_str("value")}};
    }
    call->done(call->cookie, 0, &page, 1);
    free(page.entries);
    free(keys);
    free(call);
}

static struct upstream_call *read_page(struct upstream *up, const struct upstream_read *args,
                                       upstream_pages_fn *done, void *cookie)
{
    struct upstream_call *call = xcalloc(1, sizeof(*call));

    call->source = (struct source *)up;
    key_copy(&call->parent, args->parent);
    call->done = done;
    call->cookie = cookie;
    loop_soon(call->source->loop, answer, call);
    return call;
}

static uint64_t lease_end(struct upstream *up)
{
    return UINT64_MAX;
}

static uint64_t round_trips(struct upstream *up)
{
    return 0;
}

static const struct upstream_ops ops = {
    .read = read_page, .lease_end = lease_end, .round_trips = round_trips};

static void warm(void *cookie, int error, const struct page *page, uint64_t until)
{
    struct source *s = cookie;
    struct key parent = key_of(s->next ? (int)s->next - 1 : -1, -1);

    if (error)
        log_fatal("a page could not be loaded");
    if (s->next++ > s->counts[0])
        event_loop_stop(s->loop);
    else
        cache_page(s->cache, key_slice(&parent), slice_of(NULL, 0), false, warm, s);
}

static void report(const char *what, uint64_t count, uint64_t ns)
{
    printf("%s %.0f\n", what, (double)count * 1e9 / (double)ns);
}

/* Keys lie close together, so that the cache is measured and not they. */
static void measure_nodes(struct source *s, const char *what, unsigned count, uint32_t max_value)
{
    struct slice *keys = xcalloc(count, sizeof(*keys));
    struct buf bytes = {0};
    uint64_t start, until, found = 0;
    struct node node;

    buf_reserve(&bytes, (size_t)count * 32);
    for (unsigned i = 0; i < count; i++) {
        struct key key = key_of((int)(loop_random(s->loop) % s->counts[0]),
                                (int)(loop_random(s->loop) % s->counts[1]));
        keys[i] = slice_of(bytes.data + bytes.len, key.len);
        buf_append_slice(&bytes, key_slice(&key));
    }
    start = loop_now(s->loop);
    for (unsigned i = 0; i < ROUNDS; i++)
        found += cache_node_now(s->cache, keys[i % count], max_value, &node, &until);
    report(what, found, loop_now(s->loop) - start);
    buf_free(&bytes);
    free(keys);
}

static void measure_pages(struct source *s)
{
    uint64_t start = loop_now(s->loop), until, found = 0;
    struct key from = {0};
    struct page page;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct key parent = key_of((int)(i % s->counts[0]), -1);
        found +=
            cache_page_now(s->cache, key_slice(&parent), key_slice(&from), false, &page, &until);
    }
    report("page", found, loop_now(s->loop) - start);
}

int main(int argc, char **argv)
{
    struct source s = {.up.ops = &ops, .loop = event_loop_new(), .counts = {1000, 100}};
    struct cache_config config = {.bytes = (size_t)4 << 30};
    struct buf out = {0};

    for (int i = 1; i < argc && i < 3; i++)
        s.counts[i - 1] = (unsigned)atoi(argv[i]);
    if (!s.counts[0] || !s.counts[1])
        log_fatal("usage: cache_get [directories [files in each]]");
    s.cache = cache_new(s.loop, &s.up, &config, NULL, NULL);
    warm(&s, 0, NULL, 0);
    event_loop_run(s.loop);
    cache_stats(s.cache, &out);
    printf("%.*s", (int)out.len, (const char *)out.data);
    measure_nodes(&s, "node", 1000, 0);
    measure_nodes(&s, "node-with-value", 1000, 1024);
    measure_nodes(&s, "node-of-100000", 100000, 0);
    measure_pages(&s);
    buf_free(&out);
    cache_free(s.cache);
    event_loop_free(s.loop);
    return 0;
}
