/* SPDX-License-Identifier: Apache-2.0 */
/* The calls: each encodes its request, decodes its answer and tells its done. */
#include "net/client.h"

#include <stdlib.h>

static int check_key(struct slice key)
{
    return key.len > KEY_MAX_LEN ? ECP_EKEYLONG : 0;
}

/* Pages */

struct page_array {
    struct page *pages;
    struct entry **entries;
    size_t count, capacity;
};

static int decode_pages(struct slice payload, struct page_array *a)
{
    struct reader r = reader_of(payload);
    for (;;) {
        if (a->count == a->capacity) {
            a->capacity = a->capacity ? a->capacity * 2 : 8;
            a->pages = xrealloc(a->pages, a->capacity * sizeof *a->pages);
            a->entries = xrealloc(a->entries, a->capacity * sizeof *a->entries);
        }
        size_t entries = 0;
        a->entries[a->count] = NULL;
        int error = msg_get_pages_next(&r, &a->pages[a->count], &a->entries[a->count], &entries);
        if (error == ECP_ENOENT)
            return a->count ? 0 : ECP_EPROTO;
        a->count++;
        if (error)
            return ECP_EPROTO;
    }
}

static int pages_answered(struct call *call, struct slice payload)
{
    struct page_array a = {0};
    int error = decode_pages(payload, &a);
    if (!error) {
        client_lease_pages(call->client, a.pages, a.count);
        struct call_pages pages = {.pages = a.pages, .count = a.count};
        call->done.pages(call->cookie, 0, &pages);
    }
    for (size_t i = 0; i < a.count; i++)
        free(a.entries[i]);
    free(a.entries);
    free(a.pages);
    return error;
}

static void pages_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.pages(call->cookie, error, NULL);
}

static const struct call_kind read_kind = {MSG_READ, MSG_PAGES, pages_answered, pages_failed};

struct call *call_read(struct client *client, const struct call_read_args *args,
                       call_pages_fn *done, void *cookie)
{
    struct msg_read m = {.parent = args->parent,
                         .from = args->from,
                         .after = args->after,
                         .view = (uint8_t)args->view,
                         .max_value = args->max_value,
                         .budget = args->budget,
                         .readahead = args->readahead,
                         .entries = args->entries,
                         .lease = args->lease && client->config.invalidate,
                         .onward = args->onward};
    int error = check_key(m.parent) ? ECP_EKEYLONG : check_key(m.from);
    if (!error)
        msg_put_read(&client->scratch, &m);
    struct call *call = error ? client_refuse(client, &read_kind, error, cookie)
                              : client_submit(client, &read_kind, cookie);
    call->done.pages = done;
    return call;
}

/* One node */

static int node_answered(struct call *call, struct slice payload)
{
    struct msg_nodes_reader m;
    struct node node = {0}, more;
    if (msg_get_nodes(payload, &m))
        return ECP_EPROTO;
    int error = msg_get_nodes_next(&m, &node);
    if (error == ECP_ENOENT)
        node = (struct node){0};
    else if (error || msg_get_nodes_next(&m, &more) != ECP_ENOENT)
        return ECP_EPROTO;
    call->done.node(call->cookie, 0, &node);
    return 0;
}

static void node_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.node(call->cookie, error, NULL);
}

static const struct call_kind node_kind = {MSG_NODE, MSG_NODES, node_answered, node_failed};
static const struct call_kind value_kind = {MSG_VALUE, MSG_NODES, node_answered, node_failed};

struct call *call_node(struct client *client, struct slice key, enum view view, uint32_t max_value,
                       call_node_fn *done, void *cookie)
{
    struct msg_node m = {.key = key, .view = (uint8_t)view, .max_value = max_value};
    int error = check_key(key);
    if (!error)
        msg_put_node(&client->scratch, &m);
    struct call *call = error ? client_refuse(client, &node_kind, error, cookie)
                              : client_submit(client, &node_kind, cookie);
    call->done.node = done;
    return call;
}

struct call *call_value(struct client *client, struct slice key, uint32_t offset, uint32_t len,
                        call_node_fn *done, void *cookie)
{
    struct msg_value m = {.key = key, .offset = offset, .len = len};
    int error = check_key(key);
    if (!error)
        msg_put_value(&client->scratch, &m);
    struct call *call = error ? client_refuse(client, &value_kind, error, cookie)
                              : client_submit(client, &value_kind, cookie);
    call->done.node = done;
    return call;
}

/* Nodes */

struct call_nodes {
    struct msg_nodes_reader m;
};

bool call_nodes_next(struct call_nodes *nodes, struct slice *key, struct node *node)
{
    if (msg_get_nodes_next(&nodes->m, node))
        return false;
    *key = key_slice(&nodes->m.key);
    return true;
}

bool call_nodes_ended(const struct call_nodes *nodes)
{
    return nodes->m.ended;
}

static int nodes_answered(struct call *call, struct slice payload)
{
    struct call_nodes nodes;
    struct node node;
    int error = msg_get_nodes(payload, &nodes.m);
    /* All is checked before done sees any: a bad peer must not look like a short answer. */
    while (!error)
        error = msg_get_nodes_next(&nodes.m, &node);
    if (error != ECP_ENOENT || msg_get_nodes(payload, &nodes.m))
        return ECP_EPROTO;
    call->done.nodes(call->cookie, 0, &nodes);
    return 0;
}

static void nodes_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.nodes(call->cookie, error, NULL);
}

static const struct call_kind order_kind = {MSG_ORDER, MSG_NODES, nodes_answered, nodes_failed};
static const struct call_kind scan_kind = {MSG_SCAN, MSG_NODES, nodes_answered, nodes_failed};

struct call *call_order(struct client *client, struct slice parent, struct slice level,
                        bool backwards, enum view view, uint32_t max_value, call_nodes_fn *done,
                        void *cookie)
{
    struct msg_order m = {.parent = parent,
                          .level = level,
                          .backwards = backwards,
                          .view = (uint8_t)view,
                          .max_value = max_value};
    int error = check_key(parent) ? ECP_EKEYLONG : check_key(level);
    if (!error)
        msg_put_order(&client->scratch, &m);
    struct call *call = error ? client_refuse(client, &order_kind, error, cookie)
                              : client_submit(client, &order_kind, cookie);
    call->done.nodes = done;
    return call;
}

struct call *call_scan(struct client *client, const struct call_scan_args *args,
                       call_nodes_fn *done, void *cookie)
{
    struct msg_scan m = {.top = args->top,
                         .from = args->from,
                         .backwards = args->backwards,
                         .max_value = args->max_value,
                         .max_nodes = args->max_nodes,
                         .budget = args->budget};
    int error = check_key(m.top) ? ECP_EKEYLONG : check_key(m.from);
    if (!error)
        msg_put_scan(&client->scratch, &m);
    struct call *call = error ? client_refuse(client, &scan_kind, error, cookie)
                              : client_submit(client, &scan_kind, cookie);
    call->done.nodes = done;
    return call;
}

/* Updates */

static int update_answered(struct call *call, struct slice payload)
{
    struct msg_applied m;
    if (msg_get_applied(payload, &m) || m.sequence != call->sequence || m.count != call->increments)
        return ECP_EPROTO;
    struct slice *values = m.count ? xmalloc(m.count * sizeof *values) : NULL;
    struct touch *touches = NULL;
    uint32_t touch_count = 0;
    int error = 0;
    for (size_t i = 0; i < m.count && !error; i++)
        error = msg_get_applied_next(&m, &values[i]);
    if (!error)
        error = msg_get_applied_touches(&m, &touch_count);
    if (!error && touch_count)
        touches = xmalloc(touch_count * sizeof *touches);
    for (size_t i = 0; i < touch_count && !error; i++)
        error = msg_get_touch(&m.r, &touches[i]);
    if (!error && !reader_at_end(&m.r))
        error = ECP_EPROTO;
    if (!error) {
        struct call_applied applied = {.stamp = m.stamp,
                                       .text = "",
                                       .count = m.count,
                                       .values = values,
                                       .touches = touches,
                                       .touch_count = touch_count};
        client_retain(call->client, call, m.stamp, values);
        call->done.update(call->cookie, 0, &applied);
    }
    free(touches);
    free(values);
    return error ? ECP_EPROTO : 0;
}

static void update_failed(struct call *call, int error, uint32_t index, const char *text)
{
    struct call_applied applied = {.failed = index, .text = text};
    call->done.update(call->cookie, error, &applied);
}

static const struct call_kind update_kind = {MSG_UPDATE, MSG_APPLIED, update_answered,
                                             update_failed};

/* Encodes a batch; refuses what no frame or length field could carry, nor that of the answer. */
static int put_batch(struct buf *out, const struct update *updates, size_t count,
                     uint32_t *increments)
{
    if (count == 0 || count > BATCH_MAX_OPS)
        return count ? ECP_ETOOBIG : ECP_EINVAL;
    size_t mark = msg_update_begin(out, 0, 0); /* put_call gives the numbers */
    *increments = 0;
    for (size_t i = 0; i < count; i++) {
        if (updates[i].key.len > KEY_MAX_LEN)
            return ECP_EKEYLONG;
        if (updates[i].value.len > VALUE_MAX_LEN)
            return ECP_EVALUELONG;
        *increments += updates[i].kind == UPDATE_INCREMENT;
        msg_put_update(out, &updates[i]);
        if (out->len > FRAME_MAX_PAYLOAD - MSG_REPLAY_HEAD || *increments > BATCH_MAX_INCR)
            return ECP_ETOOBIG;
    }
    msg_update_end(out, mark, (uint32_t)count);
    return 0;
}

struct call *call_update(struct client *client, const struct update *updates, size_t count,
                         call_update_fn *done, void *cookie)
{
    uint32_t increments = 0;
    int error = put_batch(&client->scratch, updates, count, &increments);
    struct call *call = error ? client_refuse(client, &update_kind, error, cookie)
                              : client_submit(client, &update_kind, cookie);
    call->done.update = done;
    call->increments = increments;
    return call;
}

/* The rest */

static int space_answered(struct call *call, struct slice payload)
{
    struct space space;
    int error = msg_get_space(payload, &space);
    if (!error)
        call->done.space(call->cookie, 0, &space);
    return error;
}

static void space_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.space(call->cookie, error, NULL);
}

static const struct call_kind space_kind = {MSG_SPACE, MSG_SPACE_IS, space_answered, space_failed};

struct call *call_space(struct client *client, call_space_fn *done, void *cookie)
{
    struct call *call = client_submit(client, &space_kind, cookie);
    call->done.space = done;
    return call;
}

static int stats_answered(struct call *call, struct slice payload)
{
    struct slice text;
    int error = msg_get_stats(payload, &text);
    if (!error)
        call->done.stats(call->cookie, 0, text);
    return error;
}

static void stats_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.stats(call->cookie, error, slice_of(NULL, 0));
}

static const struct call_kind stats_kind = {MSG_STATS, MSG_STATS_IS, stats_answered, stats_failed};

struct call *call_stats(struct client *client, call_stats_fn *done, void *cookie)
{
    struct call *call = client_submit(client, &stats_kind, cookie);
    call->done.stats = done;
    return call;
}

static int plain_answered(struct call *call, struct slice payload)
{
    if (payload.len)
        return ECP_EPROTO;
    call->done.plain(call->cookie, 0);
    return 0;
}

static void plain_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.plain(call->cookie, error);
}

static const struct call_kind ping_kind = {MSG_PING, MSG_PONG, plain_answered, plain_failed};
static const struct call_kind sync_kind = {MSG_SYNC, MSG_SYNCED, plain_answered, plain_failed};

struct call *call_ping(struct client *client, call_done_fn *done, void *cookie)
{
    struct call *call = client_submit(client, &ping_kind, cookie);
    call->done.plain = done;
    return call;
}

struct call *call_sync(struct client *client, call_done_fn *done, void *cookie)
{
    struct call *call = client_submit(client, &sync_kind, cookie);
    call->done.plain = done;
    return call;
}
