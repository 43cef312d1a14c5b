/* SPDX-License-Identifier: Apache-2.0 */
/* What is there in the end, against what clients were told; and what load and check share. */
#include <inttypes.h>

#include "base/log.h"
#include "net/event.h"
#include "tests/crash/crash_client.h"

struct crash_load crash_load;

void crash_key(struct key *key, const char *global, const char *first, const char *second)
{
    key_global(key, slice_str(global));
    if (first)
        key_append(key, slice_str(first));
    if (second)
        key_append(key, slice_str(second));
}

uint64_t crash_number(struct slice value)
{
    uint64_t number = 0;

    for (size_t i = 0; i < value.len && value.data[i] >= '0' && value.data[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(value.data[i] - '0');
    return number;
}

struct slice crash_digits(char text[24], uint64_t number)
{
    return slice_of(text, (size_t)snprintf(text, 24, "%" PRIu64, number));
}

void crash_look(const char *name, call_nodes_fn *done, void *cookie)
{
    struct key top;
    struct call_scan_args args = {.max_value = 4096, .max_nodes = 2, .budget = 1 << 16};

    crash_key(&top, "PAIR", name, NULL);
    args.top = key_slice(&top);
    call_scan(crash_load.client, &args, done, cookie);
}

void crash_check_pair(struct call_nodes *nodes, uint64_t least, uint64_t sent, const char *name)
{
    static char text[CRASH_PAIR + 64];
    struct node node;
    struct slice key;
    uint64_t number = 0;
    int halves = 0;

    for (; call_nodes_next(nodes, &key, &node); halves++) {
        if (halves == 0)
            number = crash_number(node.value);
        size_t len = crash_text(text, sizeof(text), number, CRASH_PAIR);
        if (!slice_equal(node.value, slice_of(text, len)))
            errx(1, "half a batch: pair of %s, number %" PRIu64, name, number);
    }
    if ((least && halves != 2) || halves == 1)
        errx(1, "pair of %s: %d halves", name, halves);
    if (number < least || number > sent)
        errx(1, "pair of %s: %" PRIu64 ", durable %" PRIu64 ", sent %" PRIu64, name, number, least,
             sent);
}

static void on_session_lost(void *cookie)
{
    errx(1, "the session was lost");
}

static void on_state(void *cookie, enum client_state state, int error, const char *why)
{
    if (state == CLIENT_LOST)
        errx(1, "%s", why ? why : error_text(error));
}

void crash_open(const char *address, const char *notes, const char *name)
{
    struct client_config config = {.address = address,
                                   .namespace = "USER",
                                   .program = "crash",
                                   .reconnect = true,
                                   .reclaim = crash_reclaim,
                                   .session_lost = on_session_lost,
                                   .state = on_state,
                                   .cookie = &crash_load};

    log_open("crash", false, LOG_LEVEL_WARNING);
    crash_load.name = name;
    crash_load.common = crash_map(notes, "common", sizeof(*crash_load.common));
    crash_load.loop = event_loop_new();
    crash_load.network = event_network_new(crash_load.loop);
    crash_load.client = client_new(crash_load.loop, crash_load.network, &config);
}

void crash_close(void)
{
    client_free(crash_load.client);
    event_loop_finish(crash_load.loop, LOOP_SEC);
    event_network_free(crash_load.network);
    event_loop_free(crash_load.loop);
}

/* ---- The check ---- */

struct got {
    const char *name;
    struct crash_notes *notes;
    uint64_t number;
};

static void on_got(void *cookie, int error, const struct node *node)
{
    if (error)
        errx(1, "get: %s", error_text(error));
    ((struct got *)cookie)->number = crash_number(node->value);
    event_loop_stop(crash_load.loop);
}

static void on_got_pair(void *cookie, int error, struct call_nodes *nodes)
{
    struct got *g = cookie;

    if (error)
        errx(1, "scan: %s", error_text(error));
    crash_check_pair(nodes, g->notes->pairs.durable, g->notes->pairs.sent, g->name);
    event_loop_stop(crash_load.loop);
}

static void check_count(const char *what, uint64_t is, struct crash_count count)
{
    if (is < count.durable || is > count.sent)
        errx(1, "%s is %" PRIu64 "; %" PRIu64 " must be there, and %" PRIu64 " were sent", what, is,
             count.durable, count.sent);
}

static uint64_t get(const char *global, const char *subscript)
{
    struct got g = {0};
    struct key key;

    crash_key(&key, global, subscript, NULL);
    call_node(crash_load.client, key_slice(&key), VIEW_GLOBALS, 64, on_got, &g);
    event_loop_run(crash_load.loop);
    return g.number;
}

static void add(struct crash_count *sum, struct crash_count count)
{
    sum->sent += count.sent;
    sum->told += count.told;
    sum->durable += count.durable;
}

static void check_client(struct got *g)
{
    struct crash_notes *n = g->notes;

    if (n->ended && n->shared.sent != n->shared.told)
        errx(1, "%s has ended and does not know what it did", g->name);
    check_count(g->name, get("OWN", g->name), n->own);
    crash_look(g->name, on_got_pair, g);
    event_loop_run(crash_load.loop);
}

void crash_check(char **arguments)
{
    struct crash_notes sum = {0};

    crash_open(arguments[0], arguments[1], "check");
    for (char **name = arguments + 2; *name; name++) {
        struct got g = {.name = *name, .notes = crash_map(arguments[1], *name, sizeof(*g.notes))};
        check_client(&g);
        add(&sum.own, g.notes->own);
        add(&sum.shared, g.notes->shared);
        add(&sum.pairs, g.notes->pairs);
        add(&sum.rounds, g.notes->rounds);
        if (g.notes->longest > sum.longest)
            sum.longest = g.notes->longest;
        if (g.notes->longest_round > sum.longest_round)
            sum.longest_round = g.notes->longest_round;
    }
    check_count("the shared counter", get("SHARED", NULL), sum.shared);
    check_count("what was counted under the lock", get("LOCKED", NULL), sum.rounds);
    printf("%" PRIu64 " updates, %" PRIu64 " rounds under the lock; the longest call took %" PRIu64
           " ms, the longest round %" PRIu64 " ms\n",
           sum.own.told + sum.shared.told + sum.pairs.told, sum.rounds.told, sum.longest / LOOP_MS,
           sum.longest_round / LOOP_MS);
    crash_close();
}
