/* SPDX-License-Identifier: Apache-2.0 */
/* Many sessions cache the same pages; then updates touch one that all hold. What a session and a
 * page cost the server in memory, and how long an update waits for all. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "bench/load.h"
#include "bench/timing.h"
#include "net/event.h"

#define PAGE_ENTRIES 20 /* children of each ^F(page) */
#define USAGE                                                                                      \
    "fanout_load ADDRESS PID-OF-ECPD [--holders N] [--pages N] [--rounds N]: prints bytes and ns"

/* When the server's memory is looked at. */
enum mark { MARK_START, MARK_OPEN, MARK_WRITTEN, MARK_WARM, MARK_CACHED, MARK_COUNT };

/* The last session is the writer's. */
static struct {
    struct load load;
    uint64_t holders, pages, rounds;
    int pid;
    unsigned writing, ready, unleased, invalidated, round;
    unsigned *pages_read; /* by each holder */
    bool warm;            /* each session has cached a page, the last one */
    uint64_t started, last_invalidated;
    uint64_t resident[MARK_COUNT];
    uint64_t *reached, *applied; /* ns, of each round */
} run = {.holders = 1, .pages = 1, .rounds = 1};

static struct client *writer(void)
{
    return run.load.session[run.holders].client;
}

static void mark(enum mark mark)
{
    run.resident[mark] = load_resident(run.pid);
}

/* By how much it grew between two, for each session. */
static double grown(enum mark from, enum mark to)
{
    return (double)(int64_t)(run.resident[to] - run.resident[from]) / (double)run.holders;
}

static struct key key_of(uint64_t page, int child)
{
    struct key key;
    char text[16];

    load_key(&key, "F", (unsigned)page);
    snprintf(text, sizeof(text), "%d", child);
    if (child >= 0)
        key_append(&key, slice_str(text));
    return key;
}

/* ---- updates ---- */

static void read_first_again(void);

static void finish(void)
{
    printf("unleased %u\n", run.unleased);
    printf("session-memory %.0f\n", grown(MARK_START, MARK_OPEN) + grown(MARK_WRITTEN, MARK_WARM));
    printf("page-memory %.0f\n", grown(MARK_WARM, MARK_CACHED) / (double)run.pages);
    load_percentiles("reached", run.reached, run.rounds);
    load_percentiles("applied", run.applied, run.rounds);
    event_loop_stop(run.load.loop);
}

static void update_done(void *cookie, int error, const struct call_applied *applied)
{
    if (error)
        load_fail("update", error);
    if (run.invalidated != run.holders - run.unleased)
        fprintf(stderr, "fanout_load: %u invalidations, not %u\n", run.invalidated,
                (unsigned)run.holders - run.unleased);
    run.applied[run.round] = now() - run.started;
    run.reached[run.round] = run.last_invalidated - run.started;
    if (++run.round < run.rounds)
        read_first_again();
    else
        finish();
}

static void invalidate(void *session, uint64_t serial, const struct touch *touches, size_t count)
{
    run.invalidated++;
    run.last_invalidated = now();
    client_invalidated(((struct load_session *)session)->client, serial);
}

static void all_cached(void)
{
    struct key key = key_of(0, 0);
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&key), .value = load_value};

    if (run.round == 0)
        mark(MARK_CACHED);
    run.invalidated = 0;
    run.started = now();
    call_update(writer(), &u, 1, update_done, NULL);
}

/* ---- reading ---- */

static void read_next(struct load_session *s);
static void all_warm(void);

static void read_done(void *cookie, int error, const struct call_pages *pages)
{
    struct load_session *s = cookie;
    unsigned *read = &run.pages_read[s - run.load.session];

    if (error)
        load_fail("read", error);
    if (run.warm && *read == 0 && pages->pages[0].lease == 0)
        run.unleased++;
    if (++*read < (run.warm ? run.pages : 1))
        read_next(s);
    else if (++run.ready == run.holders)
        run.warm ? all_cached() : all_warm();
}

static void read_next(struct load_session *s)
{
    struct key key = key_of(run.warm ? run.pages_read[s - run.load.session] : run.pages, -1);
    struct call_read_args args = {
        .parent = key_slice(&key), .lease = true, .max_value = 64, .budget = 65536};

    call_read(s->client, &args, read_done, s);
}

static void read_all(void)
{
    run.ready = 0;
    memset(run.pages_read, 0, run.holders * sizeof(*run.pages_read));
    for (unsigned i = 0; i < run.holders; i++)
        read_next(&run.load.session[i]);
}

/* What a session costs that is used is known: the rest is for the pages. */
static void all_warm(void)
{
    mark(MARK_WARM);
    run.warm = true;
    read_all();
}

static void again_done(void *cookie, int error, const struct call_pages *pages)
{
    if (error)
        load_fail("read", error);
    run.unleased += pages->pages[0].lease == 0;
    if (++run.ready == run.holders)
        all_cached();
}

/* What was invalidated is leased anew. */
static void read_first_again(void)
{
    struct key key = key_of(0, -1);
    struct call_read_args args = {
        .parent = key_slice(&key), .lease = true, .max_value = 64, .budget = 65536};

    run.ready = run.unleased = 0;
    for (unsigned i = 0; i < run.holders; i++)
        call_read(run.load.session[i].client, &args, again_done, NULL);
}

/* ---- data ---- */

static void write_next(void);

static void written(void *cookie, int error, const struct call_applied *applied)
{
    if (error)
        load_fail("writing", error);
    if (++run.writing <= run.pages) {
        write_next();
        return;
    }
    mark(MARK_WRITTEN);
    read_all();
}

static void write_next(void)
{
    struct key keys[PAGE_ENTRIES];
    struct update updates[PAGE_ENTRIES];

    for (int i = 0; i < PAGE_ENTRIES; i++) {
        keys[i] = key_of(run.writing, i);
        updates[i] = (struct update){
            .kind = UPDATE_SET, .key = key_slice(&keys[i]), .value = slice_str("some value")};
    }
    call_update(writer(), updates, PAGE_ENTRIES, written, NULL);
}

static void ready(struct load *l)
{
    mark(MARK_OPEN);
    write_next();
}

int main(int argc, char **argv)
{
    const struct load_option options[] = {
        {"--holders", &run.holders}, {"--pages", &run.pages}, {"--rounds", &run.rounds}};

    if (argc > 2)
        load_options(argv + 3, options, sizeof(options) / sizeof(options[0]), USAGE);
    if (argc < 3 || !run.holders || !run.pages || !run.rounds) {
        fprintf(stderr, "usage: %s\n", USAGE);
        return 2;
    }
    run.pid = atoi(argv[2]);
    mark(MARK_START);
    run.pages_read = xcalloc(run.holders, sizeof(*run.pages_read));
    run.reached = xcalloc(run.rounds, sizeof(*run.reached));
    run.applied = xcalloc(run.rounds, sizeof(*run.applied));
    load_open(&run.load, "fanout_load", argv[1], (unsigned)run.holders + 1);
    run.load.ready = ready;
    run.load.invalidate = invalidate;
    load_run(&run.load);
    load_close(&run.load);
    free(run.pages_read);
    free(run.reached);
    free(run.applied);
    return 0;
}
