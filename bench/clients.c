/* SPDX-License-Identifier: Apache-2.0 */
/* Many clients read the same nodes, each from a cache of its own or by asking the server. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "bench/load.h"
#include "bench/timing.h"
#include "cache/cache.h"
#include "fs/upstream_net.h"
#include "net/event.h"

#define USAGE                                                                                      \
    "clients ADDRESS cached|asked PID-OF-ECPD [--clients N] [--keys N] [--milliseconds N] "        \
    "[--rate UPDATES-PER-SECOND]"

/* ^K(1) to ^K(keys) are there already; one client more than asked for updates them. */
struct caller {
    struct load_session *session;
    struct upstream *up;
    struct cache *cache;
    struct key last; /* of the pages that it has loaded */
    bool loading;    /* a node that was not in its cache */
};

static struct {
    struct load load;
    bool cached;
    int pid;
    uint64_t clients, keys, milliseconds, rate;
    struct caller *caller;
    struct key *key;
    unsigned loaded;
    uint64_t seed, started, cpu, trips, resident[2], reads, misses, updates, invalidations;
} run = {.clients = 1, .keys = 1000, .milliseconds = 1000, .seed = 1};

static uint64_t trips(void)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < run.clients; i++)
        sum += client_round_trips(run.load.session[i].client);
    return sum;
}

static void finish(uint64_t ns)
{
    double seconds = (double)ns / 1e9;

    /* A request and its answer, an invalidation and its acknowledgement. */
    printf("reads %.0f\nserver-cpu %.4f\nmessages %.1f\nmisses %.1f\nupdates %.1f\n",
           (double)run.reads / seconds, (double)(load_cpu(run.pid) - run.cpu) / (double)ns,
           2 * (double)(trips() - run.trips + run.invalidations) / seconds,
           (double)run.misses / seconds, (double)run.updates / seconds);
    event_loop_stop(run.load.loop);
}

static bool time_is_over(void)
{
    uint64_t ns = now() - run.started;

    if (ns < run.milliseconds * LOOP_MS)
        return false;
    if (run.started)
        finish(ns);
    run.started = 0;
    return true;
}

/* ---- updates by one more client ---- */

static void updated(void *cookie, int error, const struct call_applied *applied)
{
    if (error)
        load_fail("update", error);
    run.updates++;
}

static void update(void *cookie)
{
    struct update u = {.kind = UPDATE_SET,
                       .key = key_slice(&run.key[load_random(&run.seed) % run.keys]),
                       .value = load_value};

    if (!run.started)
        return;
    call_update(run.load.session[run.clients].client, &u, 1, updated, NULL);
    loop_timer(run.load.loop, LOOP_SEC / run.rate, update, NULL);
}

/* ---- reads ---- */

static void missed(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct caller *r = cookie;

    if (error)
        load_fail("a read", error);
    r->loading = false;
    run.misses++;
    run.reads++;
}

static void read_some(struct caller *r, unsigned count)
{
    struct node node;
    uint64_t until;

    for (unsigned i = 0; i < count; i++) {
        struct slice key = key_slice(&run.key[load_random(&run.seed) % run.keys]);
        if (cache_node_now(r->cache, key, 1024, &node, &until)) {
            run.reads++;
        } else if (!r->loading) {
            r->loading = true;
            cache_node(r->cache, key, 1024, missed, r);
        }
    }
}

/* Each client reads for a while before the next one does: all of their caches together are larger
 * than the processor's, which real clients do not share. */
static void turn(void *cookie)
{
    static uint64_t next;

    for (int i = 0; i < 16; i++)
        read_some(&run.caller[next++ % run.clients], 512);
    if (!time_is_over())
        loop_soon(run.load.loop, turn, cookie);
}

static void ask(struct load_session *s);

static void asked(void *cookie, int error, const struct node *node)
{
    if (error)
        load_fail("a read", error);
    run.reads++;
    if (run.started && !time_is_over())
        ask(cookie);
}

static void ask(struct load_session *s)
{
    call_node(s->client, key_slice(&run.key[load_random(&run.seed) % run.keys]), VIEW_FILES, 1024,
              asked, s);
}

/* ---- loading ---- */

static void begin(void)
{
    run.resident[1] = load_resident(getpid());
    printf("client-memory %.0f\nserver-memory %" PRIu64 "\n",
           ((double)run.resident[1] - (double)run.resident[0]) / (double)run.clients,
           load_resident(run.pid));
    run.trips = trips();
    run.cpu = load_cpu(run.pid);
    run.started = now();
    if (run.rate)
        update(NULL);
    if (run.cached)
        turn(NULL);
    for (uint64_t i = 0; i < run.clients && !run.cached; i++)
        ask(&run.load.session[i]);
}

static void load_page(struct caller *r);

static void page_loaded(void *cookie, int error, const struct page *page, uint64_t until)
{
    struct caller *r = cookie;

    if (error || !page->count)
        load_fail("loading", error ? error : ECP_ENOENT);
    r->last.len = 0;
    key_copy(&r->last, page->entries[page->count - 1].sub);
    if (!page->to_end)
        load_page(r);
    else if (++run.loaded == run.clients)
        begin();
}

static void load_page(struct caller *r)
{
    struct key top;

    key_global(&top, slice_str("K"));
    cache_page(r->cache, key_slice(&top), key_slice(&r->last), r->last.len > 0, page_loaded, r);
}

static void ready(struct load *l)
{
    if (!run.cached)
        begin();
    for (uint64_t i = 0; i < run.clients && run.cached; i++)
        load_page(&run.caller[i]);
}

/* ---- sessions ---- */

static void prepare(struct load_session *s)
{
    struct cache_config config = {.bytes = (size_t)8 << 30};
    struct caller *r = &run.caller[s - run.load.session];

    s->user = r;
    r->session = s;
    if (!run.cached)
        return;
    r->up = upstream_net_new(s->client);
    r->cache = cache_new(run.load.loop, r->up, &config, NULL, NULL);
}

static void invalidate(void *session, uint64_t serial, const struct touch *touches, size_t count)
{
    struct caller *r = ((struct load_session *)session)->user;

    run.invalidations++;
    upstream_net_invalidate(r->up, serial, touches, count);
}

static void lease_lost(void *session)
{
    struct caller *r = ((struct load_session *)session)->user;

    if (r && r->up)
        upstream_net_lease_lost(r->up);
}

static void free_all(void)
{
    for (uint64_t i = 0; i <= run.clients; i++) {
        if (run.caller[i].cache) {
            cache_free(run.caller[i].cache);
            upstream_net_free(run.caller[i].up);
        }
    }
    load_close(&run.load);
    free(run.caller);
    free(run.key);
}

int main(int argc, char **argv)
{
    const struct load_option options[] = {{"--clients", &run.clients},
                                          {"--keys", &run.keys},
                                          {"--milliseconds", &run.milliseconds},
                                          {"--rate", &run.rate}};

    if (argc > 3)
        load_options(argv + 4, options, sizeof(options) / sizeof(options[0]), USAGE);
    if (argc < 4 || !run.clients || !run.keys || !run.milliseconds) {
        fprintf(stderr, "usage: %s\n", USAGE);
        return 2;
    }
    run.cached = strcmp(argv[2], "cached") == 0;
    run.pid = atoi(argv[3]);
    run.caller = xcalloc(run.clients + 1, sizeof(*run.caller));
    run.key = xcalloc(run.keys, sizeof(*run.key));
    for (uint64_t i = 0; i < run.keys; i++)
        load_key(&run.key[i], "K", i + 1);
    load_open(&run.load, "clients", argv[1], (unsigned)run.clients + 1);
    run.load.prepare = prepare;
    run.load.ready = ready;
    run.load.invalidate = invalidate;
    run.load.lease_lost = lease_lost;
    run.resident[0] = load_resident(getpid());
    load_run(&run.load);
    free_all();
    return 0;
}
