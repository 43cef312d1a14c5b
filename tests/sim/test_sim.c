/* SPDX-License-Identifier: Apache-2.0 */
/* Server and two clients in one process: what one has been told is applied, both read; a seed
 * repeats exactly. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "net/call.h"
#include "server/server.h"
#include "store/store.h"
#include "tests/sim/engine_mem.h"
#include "tests/sim/sim.h"

#define NODES      6
#define CLIENTS    2
#define OPERATIONS 300

/*
 * Every node is a register: writes carry a number that rises. A read must show a value that was not
 * replaced before the read began: at least as new as the newest write acknowledged then.
 */
struct world {
    struct sim *sim;
    struct client *clients[CLIENTS];
    struct key keys[NODES];
    uint64_t acknowledged[NODES]; /* newest stamp told to a writer */
    unsigned started, finished, reads, writes;
    bool closed;
};

struct step {
    struct world *w;
    unsigned node, client;
    uint64_t floor;
};

static void next(struct world *w, unsigned client);

static void read_done(void *cookie, int error, const struct node *node)
{
    struct step *s = cookie;
    struct world *w = s->w;

    cr_assert_eq(error, 0, "%s", error_text(error));
    cr_assert_geq(node->stamp, s->floor,
                  "a read showed a value older than one acknowledged before it");
    w->reads++;
    next(w, s->client);
    free(s);
}

static void write_done(void *cookie, int error, const struct call_applied *applied)
{
    struct step *s = cookie;
    struct world *w = s->w;

    cr_assert_eq(error, 0, "%s", error_text(error));
    cr_assert_gt(applied->stamp, s->floor);
    if (applied->stamp > w->acknowledged[s->node])
        w->acknowledged[s->node] = applied->stamp;
    w->writes++;
    next(w, s->client);
    free(s);
}

static void next(struct world *w, unsigned client)
{
    struct step *s;
    struct key *key;

    w->finished++;
    if (w->started == OPERATIONS)
        return;
    w->started++;
    s = calloc(1, sizeof(*s));
    s->w = w;
    s->client = client;
    s->node = (unsigned)sim_random(w->sim, NODES);
    s->floor = w->acknowledged[s->node];
    key = &w->keys[s->node];
    if (sim_random(w->sim, 2)) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%u", w->started);
        struct update u = {
            .kind = UPDATE_SET, .key = key_slice(key), .value = slice_of(text, (size_t)n)};
        call_update(w->clients[client], &u, 1, write_done, s);
    } else {
        call_node(w->clients[client], key_slice(key), VIEW_FILES, 100, read_done, s);
    }
}

static void closed(void *cookie)
{
    ((struct world *)cookie)->closed = true;
}

static uint64_t run(uint64_t seed)
{
    struct world w = {.sim = sim_new(seed)};
    struct loop *loop = sim_loop(w.sim);
    struct store *store;
    struct server *server = server_new(loop, NULL);
    struct listener *listener;
    char *why;
    uint64_t digest;

    for (unsigned i = 0; i < NODES; i++) {
        char text[8];
        cr_assert_eq(key_global(&w.keys[i], slice_str("R")), 0);
        snprintf(text, sizeof(text), "%u", i);
        cr_assert_eq(key_append(&w.keys[i], slice_str(text)), 0);
    }
    cr_assert_eq(store_open(loop, engine_mem_new(1u << 20), NULL, &store, &why), 0);
    cr_assert_eq(server_add_namespace(server, "USER", store, NULL, NULL), 0);
    cr_assert_eq(server_listen(server, sim_network(w.sim), "server:1", &listener, &why), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client_config c = {.address = "server:1", .namespace = "USER", .program = "sim"};
        w.clients[i] = client_new(loop, sim_network(w.sim), &c);
    }
    for (unsigned i = 0; i < 2 * CLIENTS; i++)
        next(&w, i % CLIENTS);
    while (w.finished < OPERATIONS + 2 * CLIENTS)
        cr_assert(sim_step(w.sim), "the simulation stopped with operations unanswered");
    cr_assert_gt(w.reads, 0);
    cr_assert_gt(w.writes, 0);
    digest = sim_digest(w.sim);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_free(w.clients[i]);
    for (int i = 0; i < 1000 && sim_step(w.sim); i++)
        ;
    server_free(server);
    store_close(store, closed, &w);
    while (!w.closed && sim_step(w.sim))
        ;
    cr_assert(w.closed);
    sim_free(w.sim);
    return digest;
}

Test(sim, two_clients_read_what_was_acknowledged)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        run(seed);
}

Test(sim, a_seed_repeats_exactly)
{
    cr_assert_eq(run(7), run(7));
    cr_assert_neq(run(7), run(8));
}
