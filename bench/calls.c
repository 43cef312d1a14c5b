/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the protocol per second: sets, gets, increments, walks. Prints lines "NAME NUMBER". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "bench/load.h"
#include "bench/timing.h"
#include "net/event.h"

#define BATCH_MAX 1000
#define USAGE                                                                                      \
    "calls ADDRESS set|fill|get|increment|order|scan|kill [--count N] [--clients N] "              \
    "[--depth N] [--batch N] [--keys N] [--rate N]"

/* Nodes are ^K(1) to ^K(keys): all of them in turn (fill), one, or at random. */
struct calls {
    struct load load;
    void (*give)(struct load_session *s);
    uint64_t count, clients, depth, batch, keys, rate;
    uint64_t given, done, seed, started, *times;
    struct key at; /* of a walk */
};

static struct calls calls = {
    .count = 100000, .clients = 1, .depth = 1, .batch = 1, .keys = 1, .seed = 1};

static void finish(void)
{
    uint64_t took = now() - calls.started;

    printf("rate %.0f\n", (double)calls.done * 1e9 / (double)took);
    printf("seconds %.6f\n", (double)took / 1e9);
    event_loop_stop(calls.load.loop);
}

/* One request, with `nodes` nodes in it, has been answered. */
static void answered(struct load_session *s, int error, uint64_t begun, uint64_t nodes)
{
    if (error)
        load_fail("a call", error);
    if (calls.times)
        calls.times[calls.done / calls.batch] = now() - begun;
    calls.done += nodes;
    if (calls.given < calls.count && !calls.rate)
        calls.give(s);
    else if (calls.done == calls.count)
        finish();
}

static void pick(struct key *key)
{
    load_key(key, "K", 1 + (calls.keys > 1 ? load_random(&calls.seed) % calls.keys : 0));
}

/* A request under way; its time is taken when few are. */
struct request {
    struct load_session *session;
    uint64_t begun, nodes;
};

static struct request *request_new(struct load_session *s, uint64_t nodes)
{
    struct request *r = xmalloc(sizeof(*r));

    *r = (struct request){.session = s, .begun = now(), .nodes = nodes};
    calls.given += nodes;
    return r;
}

static void request_done(struct request *r, int error)
{
    struct request copy = *r;

    free(r);
    answered(copy.session, error, copy.begun, copy.nodes);
}

/* ---- updates ---- */

static void updated(void *cookie, int error, const struct call_applied *applied)
{
    request_done(cookie, error);
}

static void give_updates(struct load_session *s, enum update_kind kind, bool in_turn)
{
    static struct key keys[BATCH_MAX];
    static struct update updates[BATCH_MAX];
    uint64_t n = calls.count - calls.given < calls.batch ? calls.count - calls.given : calls.batch;

    for (uint64_t i = 0; i < n; i++) {
        if (in_turn)
            load_key(&keys[i], "K", 1 + calls.given + i);
        else
            pick(&keys[i]);
        updates[i] =
            (struct update){.kind = (uint8_t)kind,
                            .key = key_slice(&keys[i]),
                            .value = kind == UPDATE_INCREMENT ? slice_str("1") : load_value};
    }
    call_update(s->client, updates, n, updated, request_new(s, n));
}

static void give_set(struct load_session *s)
{
    give_updates(s, UPDATE_SET, false);
}

static void give_fill(struct load_session *s)
{
    give_updates(s, UPDATE_SET, true);
}

static void give_increment(struct load_session *s)
{
    give_updates(s, UPDATE_INCREMENT, false);
}

static void give_kill(struct load_session *s)
{
    struct key key;
    struct update u = {.kind = UPDATE_KILL};

    key_global(&key, slice_str("K"));
    u.key = key_slice(&key);
    call_update(s->client, &u, 1, updated, request_new(s, 1));
}

/* ---- reads ---- */

static void got(void *cookie, int error, const struct node *node)
{
    if (!error && !(node->flags & NODE_VALUE))
        load_fail("get", ECP_ENOENT);
    request_done(cookie, error);
}

static void give_get(struct load_session *s)
{
    struct key key;

    pick(&key);
    call_node(s->client, key_slice(&key), VIEW_GLOBALS, 1024, got, request_new(s, 1));
}

static void ordered(void *cookie, int error, struct call_nodes *nodes)
{
    struct node node;
    struct slice key;

    if (!error && call_nodes_next(nodes, &key, &node))
        key_copy(&calls.at, key);
    else if (!error)
        calls.count = calls.given; /* the last */
    request_done(cookie, error);
}

static void give_order(struct load_session *s)
{
    struct key top;
    struct slice at = key_slice(&calls.at);

    key_global(&top, slice_str("K"));
    call_order(s->client, key_slice(&top), at.len ? key_last(at) : slice_str(""), false,
               VIEW_GLOBALS, 1024, ordered, request_new(s, 1));
}

static void scanned(void *cookie, int error, struct call_nodes *nodes)
{
    struct request *r = cookie;
    struct node node;
    struct slice key;

    r->nodes = 0;
    while (!error && call_nodes_next(nodes, &key, &node)) {
        key_copy(&calls.at, key);
        r->nodes++;
    }
    calls.given = calls.done + r->nodes;
    if (!error && call_nodes_ended(nodes))
        calls.count = calls.given;
    request_done(r, error);
}

static void give_scan(struct load_session *s)
{
    struct key top;
    struct call_scan_args args = {
        .from = key_slice(&calls.at), .max_value = 1024, .budget = 1 << 18};

    key_global(&top, slice_str("K"));
    args.top = key_slice(&top);
    call_scan(s->client, &args, scanned, request_new(s, 0));
}

/* ---- the run ---- */

/* So many in each second, whether or not those before are done. */
static void pace(void *cookie)
{
    uint64_t due = (now() - calls.started) * calls.rate / LOOP_SEC;

    while (calls.given < calls.count && calls.given < due)
        calls.give(&calls.load.session[calls.given % calls.clients]);
    if (calls.given < calls.count)
        loop_timer(calls.load.loop, LOOP_MS, pace, cookie);
}

static void ready(struct load *l)
{
    calls.started = now();
    if (calls.rate) {
        pace(NULL);
        return;
    }
    for (uint64_t i = 0; i < calls.clients * calls.depth && calls.given < calls.count; i++)
        calls.give(&l->session[i % calls.clients]);
}

static const struct operation {
    const char *name;
    void (*give)(struct load_session *s);
    bool walk; /* one at a time, by one client, to the end */
} operations[] = {
    {"set", give_set, false},    {"fill", give_fill, false},
    {"get", give_get, false},    {"increment", give_increment, false},
    {"order", give_order, true}, {"scan", give_scan, true},
    {"kill", give_kill, false},
};

static const struct operation *operation_named(const char *name)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct load_option options[] = {
        {"--count", &calls.count}, {"--clients", &calls.clients}, {"--depth", &calls.depth},
        {"--batch", &calls.batch}, {"--keys", &calls.keys},       {"--rate", &calls.rate},
    };
    const struct operation *o = argc > 2 ? operation_named(argv[2]) : NULL;

    if (o)
        load_options(argv + 3, options, sizeof(options) / sizeof(options[0]), USAGE);
    if (!o || !calls.count || !calls.depth || !calls.batch || calls.batch > BATCH_MAX) {
        fprintf(stderr, "usage: %s\n", USAGE);
        return 2;
    }
    calls.give = o->give;
    if (o->walk)
        calls.clients = calls.depth = calls.batch = 1;
    if (calls.clients * calls.depth <= 64 && !o->walk)
        calls.times = xcalloc(calls.count / calls.batch + 1, sizeof(*calls.times));
    load_open(&calls.load, "calls", argv[1], (unsigned)calls.clients);
    calls.load.ready = ready;
    load_run(&calls.load);
    if (calls.times)
        load_percentiles("latency", calls.times, calls.done / calls.batch);
    load_close(&calls.load);
    free(calls.times);
    return 0;
}
