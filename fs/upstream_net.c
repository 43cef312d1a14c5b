/* SPDX-License-Identifier: Apache-2.0 */
/* Wires what the file system asks for to the calls of a network session. */
#include "fs/upstream_net.h"

#include <stdlib.h>

#include "base/buf.h"
#include "net/call.h"

struct upstream_net {
    struct upstream up;
    struct client *client;
};

/* One call: remembers whose it is while the network has it. */
struct upstream_call {
    struct call *call;
    void *cookie;
    union {
        upstream_pages_fn *pages;
        upstream_node_fn *node;
        upstream_update_fn *update;
        upstream_sync_fn *sync;
        upstream_space_fn *space;
    } done;
};

static struct upstream_call *call_new(void *cookie)
{
    struct upstream_call *c = xcalloc(1, sizeof(*c));
    c->cookie = cookie;
    return c;
}

static struct client *client_of(struct upstream *up)
{
    return ((struct upstream_net *)up)->client;
}

static void pages_done(void *cookie, int error, const struct call_pages *pages)
{
    struct upstream_call c = *(struct upstream_call *)cookie;

    free(cookie);
    c.done.pages(c.cookie, error, error ? NULL : pages->pages, error ? 0 : pages->count);
}

static struct upstream_call *net_read(struct upstream *up, const struct upstream_read *args,
                                      upstream_pages_fn *done, void *cookie)
{
    struct upstream_call *c = call_new(cookie);
    struct call_read_args a = {.parent = args->parent,
                               .from = args->from,
                               .after = args->after,
                               .lease = args->lease,
                               .onward = args->onward,
                               .view = VIEW_FILES,
                               .max_value = args->max_value,
                               .budget = args->budget,
                               .entries = args->entries,
                               .readahead = args->readahead};

    c->done.pages = done;
    c->call = call_read(client_of(up), &a, pages_done, c);
    return c;
}

static void node_done(void *cookie, int error, const struct node *node)
{
    struct upstream_call c = *(struct upstream_call *)cookie;

    free(cookie);
    c.done.node(c.cookie, error, node);
}

static struct upstream_call *net_node(struct upstream *up, struct slice key, uint32_t max_value,
                                      upstream_node_fn *done, void *cookie)
{
    struct upstream_call *c = call_new(cookie);

    c->done.node = done;
    c->call = call_node(client_of(up), key, VIEW_FILES, max_value, node_done, c);
    return c;
}

static void update_done(void *cookie, int error, const struct call_applied *applied)
{
    struct upstream_call c = *(struct upstream_call *)cookie;
    struct upstream_applied a = {0};

    free(cookie);
    if (!error)
        a = (struct upstream_applied){applied->stamp, applied->touches, applied->touch_count};
    c.done.update(c.cookie, error, error ? NULL : &a);
}

static struct upstream_call *net_update(struct upstream *up, const struct update *updates,
                                        size_t count, upstream_update_fn *done, void *cookie)
{
    struct upstream_call *c = call_new(cookie);

    c->done.update = done;
    c->call = call_update(client_of(up), updates, count, update_done, c);
    return c;
}

static void sync_done(void *cookie, int error)
{
    struct upstream_call c = *(struct upstream_call *)cookie;

    free(cookie);
    c.done.sync(c.cookie, error);
}

static struct upstream_call *net_sync(struct upstream *up, upstream_sync_fn *done, void *cookie)
{
    struct upstream_call *c = call_new(cookie);

    c->done.sync = done;
    c->call = call_sync(client_of(up), sync_done, c);
    return c;
}

static void space_done(void *cookie, int error, const struct space *space)
{
    struct upstream_call c = *(struct upstream_call *)cookie;

    free(cookie);
    c.done.space(c.cookie, error, space);
}

static struct upstream_call *net_space(struct upstream *up, upstream_space_fn *done, void *cookie)
{
    struct upstream_call *c = call_new(cookie);

    c->done.space = done;
    c->call = call_space(client_of(up), space_done, c);
    return c;
}

static void net_cancel(struct upstream *up, struct upstream_call *call)
{
    (void)up;
    call_cancel(call->call);
    free(call);
}

static bool net_unsent(struct upstream *up, const struct upstream_call *call)
{
    (void)up;
    return call_is_unsent(call->call);
}

static bool net_connected(struct upstream *up)
{
    return client_state(client_of(up)) == CLIENT_NORMAL;
}

static uint64_t net_lease_end(struct upstream *up)
{
    return client_lease_end(client_of(up));
}

static void net_invalidated(struct upstream *up, uint64_t serial)
{
    client_invalidated(client_of(up), serial);
}

static void net_release(struct upstream *up, const uint64_t *leases, size_t count)
{
    client_release(client_of(up), leases, count);
}

static uint64_t net_round_trips(struct upstream *up)
{
    return client_round_trips(client_of(up));
}

void upstream_net_invalidate(struct upstream *up, uint64_t serial, const struct touch *touches,
                             size_t count)
{
    if (up->events)
        up->events->invalidate(up->cookie, serial, touches, count);
    else
        net_invalidated(up, serial);
}

void upstream_net_lease_lost(struct upstream *up)
{
    if (up->events)
        up->events->lease_lost(up->cookie);
}

void upstream_net_refuse(struct upstream *up)
{
    client_refuse_calls(client_of(up), ECP_EUNREACHABLE);
}

static const struct upstream_ops net_ops = {
    .read = net_read,
    .node = net_node,
    .update = net_update,
    .sync = net_sync,
    .space = net_space,
    .cancel = net_cancel,
    .unsent = net_unsent,
    .connected = net_connected,
    .lease_end = net_lease_end,
    .invalidated = net_invalidated,
    .release = net_release,
    .round_trips = net_round_trips,
};

struct upstream *upstream_net_new(struct client *client)
{
    struct upstream_net *net = xcalloc(1, sizeof(*net));

    net->up.ops = &net_ops;
    net->client = client;
    return &net->up;
}

void upstream_net_free(struct upstream *up)
{
    free(up);
}
