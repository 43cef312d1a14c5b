/* SPDX-License-Identifier: Apache-2.0 */
/* What a client process does with the calls of applications: asks the cache, or the server. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "net/call.h"
#include "tests/sim/mount.h"

#define VALUE_WANTED 8192 /* bytes */
#define RETRY_TIME   LOOP_MS

static struct slice key_of(const struct request *r)
{
    return key_slice(&r->mount->history->keys[r->node]);
}

static uint32_t max_value(const struct request *r)
{
    return r->kind == REQUEST_VALUE ? VALUE_WANTED : 0;
}

/* ---- Answers ---- */

static unsigned writer_of(const struct node *node)
{
    unsigned mount = MOUNT_NOBODY, number;
    unsigned long long before;
    char *text = xasprintf("%.*s", (int)node->value.len, (const char *)node->value.data);
    sscanf(text, COUNTER_FORMAT, &mount, &number, &before);
    free(text);
    return mount;
}

static void got_node(struct request *r, const struct node *node, uint64_t until)
{
    r->seen[0] = state_of(node);
    r->changed = node->changed;
    r->exact = r->kind == REQUEST_VALUE && node->value_len <= VALUE_WANTED;
    if (r->exact && node->flags & NODE_VALUE && !node->value.data && node->value_len)
        world_fail(r->mount->world, "%s: a value that was asked for did not come",
                   r->mount->process->name);
    r->writer = r->node == NODE_COUNTER && node->value.data ? writer_of(node) : MOUNT_NOBODY;
    request_reply(r, 0, until);
}

static void got_page(struct request *r, const struct page *page, uint64_t until)
{
    struct history *h = r->mount->history;
    unsigned first = 0, all = history_children(r->node, &first), last = r->from;
    memset(r->seen, 0, sizeof(r->seen));
    for (size_t i = 0; i < page->count; i++) {
        unsigned n = last;
        while (n < all &&
               !slice_equal(key_last(key_slice(&h->keys[first + n])), page->entries[i].sub))
            n++;
        if (n == all)
            world_fail(h->world, "%s: a page of %s has an entry out of place",
                       r->mount->process->name, node_name(r->node));
        r->seen[n] = state_of(&page->entries[i].node);
        last = n + 1;
    }
    if (!page->to_end && !page->count)
        world_fail(h->world, "%s: an empty page that does not end", r->mount->process->name);
    r->to = page->to_end ? all : last;
    r->to_end = page->to_end;
    request_reply(r, 0, until);
}

/* What it replaced must be out of the kernel before the application goes on. */
static void update_reply(void *cookie)
{
    struct request *r = cookie;
    r->event = NULL;
    if (mount_recalling(r->mount))
        r->event = loop_timer(&r->mount->process->loop, RETRY_TIME, update_reply, r);
    else
        request_reply(r, r->error, 0);
}

static void got_update(struct request *r, int error, uint64_t stamp)
{
    r->call = NULL;
    r->cache_call = NULL;
    r->error = error;
    r->stamp = stamp;
    update_reply(r);
}

/* ---- Plain sessions ---- */

static void call_node_done(void *cookie, int error, const struct node *node)
{
    if (error)
        request_reply(cookie, error, 0);
    else
        got_node(cookie, node, 0);
}

static void call_pages_done(void *cookie, int error, const struct call_pages *pages)
{
    struct request *r = cookie;
    if (error) {
        request_reply(r, error, 0);
        return;
    }
    r->whole = true;
    got_page(r, &pages->pages[0], 0);
}

static void call_update_done(void *cookie, int error, const struct call_applied *applied)
{
    got_update(cookie, error, error ? 0 : applied->stamp);
}

static void sync_done(void *cookie, int error)
{
    request_reply(cookie, error, 0);
}

/* From the child before on, but without it. */
static struct slice level_of(const struct request *r)
{
    unsigned first = 0;
    history_children(r->node, &first);
    if (!r->from)
        return slice_of(NULL, 0);
    return key_last(key_slice(&r->mount->history->keys[first + r->from - 1]));
}

static void serve_plain(struct request *r)
{
    struct client *client = r->mount->client;
    struct call_read_args args = {.parent = key_of(r),
                                  .from = level_of(r),
                                  .after = r->from > 0,
                                  .view = VIEW_FILES,
                                  .budget = 65536};
    if (r->kind == REQUEST_UPDATE)
        r->call = call_update(client, r->updates, r->count, call_update_done, r);
    else if (r->kind == REQUEST_SYNC)
        call_sync(client, sync_done, r);
    else if (r->kind == REQUEST_PAGE)
        call_read(client, &args, call_pages_done, r);
    else
        call_node(client, key_of(r), VIEW_FILES, max_value(r), call_node_done, r);
}

/* ---- Sessions with a cache ---- */

static void cache_node_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    if (error)
        request_reply(cookie, error, 0);
    else
        got_node(cookie, node, until);
}

static void cache_page_done(void *cookie, int error, const struct page *page, uint64_t until)
{
    if (error)
        request_reply(cookie, error, 0);
    else
        got_page(cookie, page, until);
}

static void cache_update_done(void *cookie, int error, uint64_t stamp)
{
    got_update(cookie, error, stamp);
}

static void serve_node(struct request *r)
{
    struct cache *cache = r->mount->cache;
    struct node node;
    uint64_t until;
    if (cache_node_now(cache, key_of(r), max_value(r), &node, &until))
        got_node(r, &node, until);
    else
        cache_node(cache, key_of(r), max_value(r), cache_node_done, r);
}

static void serve_page(struct request *r)
{
    struct cache *cache = r->mount->cache;
    struct page page;
    uint64_t until;
    if (cache_page_now(cache, key_of(r), level_of(r), r->from > 0, &page, &until))
        got_page(r, &page, until);
    else
        cache_page(cache, key_of(r), level_of(r), r->from > 0, cache_page_done, r);
}

static void serve_cached(struct request *r)
{
    if (r->kind == REQUEST_UPDATE)
        r->cache_call = cache_update(r->mount->cache, r->updates, r->count, cache_update_done, r);
    else if (r->kind == REQUEST_SYNC)
        cache_sync(r->mount->cache, sync_done, r);
    else if (r->kind == REQUEST_PAGE)
        serve_page(r);
    else
        serve_node(r);
}

void request_serve(void *cookie)
{
    struct request *r = cookie;
    r->event = NULL;
    if (r->kind == REQUEST_UPDATE)
        r->number = ++r->mount->updates;
    if (r->kind == REQUEST_LOCK || r->kind == REQUEST_UNLOCK)
        request_serve_lock(r);
    else if (r->owner && r->mount->lost[r->owner] && r->kind == REQUEST_UPDATE)
        request_reply(r, ECP_EDISCONNECTED, 0);
    else if (r->mount->plain)
        serve_plain(r);
    else
        serve_cached(r);
}
