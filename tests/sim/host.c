/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and ends the server process; what is on its disk remains. */
#include "tests/sim/host.h"

#include <stdlib.h>

#include "server/server.h"
#include "store/journal_read.h"
#include "store/store_int.h"
#include "tests/sim/disk.h"
#include "tests/sim/engine_mem.h"
#include "tests/sim/network.h"

#define WALL_JUMP (4 * LOOP_SEC) /* between one run of the process and the next, at most */

/* An error of the engine's own, which would keep the store from opening; or the disk's. */
static int gate(void *cookie)
{
    struct host *host = cookie;
    return host->up && host->base_error ? host->base_error : disk_gate(host->disk);
}

/* Small, so that segments end, checkpoints are in pieces, and memory and journal fill up. */
static void draw_options(struct host *host, bool tiny)
{
    static const uint64_t overlays[] = {1, 6000, 40000, 0};
    struct world *w = host->world;
    host->options = (struct store_options){
        .io = disk_io(host->disk),
        .directory = "db",
        .durability = (enum durability)world_random(w, 3),
        .interval = LOOP_MS << world_random(w, 9),
        .wait_durable = world_chance(w, 1, 2),
        .segment_bytes = (1u << 16) + (2048u << world_random(w, 6)),
        .journal_bytes = world_chance(w, 1, 2) ? 4096u << world_random(w, 5) : 0,
        .overlay_bytes = overlays[world_random(w, 4)],
        .piece_records = 1u << world_random(w, 4) / 2,
        .checkpoint_after = world_chance(w, 3, 4) ? LOOP_MS << world_random(w, 12) : 0};
    if (tiny)
        host->options.overlay_bytes = host->options.piece_records = 1;
}

bool host_acknowledges_durable(const struct host *host)
{
    return host->options.wait_durable && host->options.durability == DURABILITY_COMMIT;
}

bool host_failed(const struct host *host, uint64_t since)
{
    return (host->store && host->store->failed) || host->failed >= since;
}

static bool remember(void *cookie, uint64_t term)
{
    struct host *host = cookie;
    host->marked = term;
    return true;
}

static void forget(void *cookie)
{
    ((struct host *)cookie)->marked = 0;
}

/* ---- The overlay's transactions, watched: each batch is a state more. ---- */

static struct host *host_of(struct engine_txn *txn)
{
    return ((struct watched *)txn->engine->ops)->host;
}

/* The batch before has ended; what it made is what the transaction shows. */
static void note(struct host *host)
{
    uint64_t stamp = host->store->last_stamp;
    if (!host->writing || host->dying || stamp == host->stamp)
        return;
    if (host->store->failed)
        world_fail(host->world, "an update was applied after the journal had failed");
    host->stamp = stamp;
    history_committed(&host->history, host->writing, stamp);
}

static int watched_begin(struct engine *engine, struct engine_txn **txn)
{
    struct host *host = ((struct watched *)engine->ops)->host;
    int error = host->watched.real->write_begin(engine, txn);
    host->writing = error ? NULL : *txn;
    return error;
}

static int watched_commit(struct engine_txn *txn)
{
    struct host *host = host_of(txn);
    note(host);
    host->writing = NULL;
    return host->watched.real->commit(txn);
}

static int watched_get(struct engine_txn *txn, struct slice key, struct slice *value)
{
    struct host *host = host_of(txn);
    note(host);
    return host->watched.real->get(txn, key, value);
}

static int watched_put(struct engine_txn *txn, struct slice key, struct slice head,
                       struct slice body)
{
    struct host *host = host_of(txn);
    note(host);
    return host->watched.real->put(txn, key, head, body);
}

static int watched_del(struct engine_txn *txn, struct slice key)
{
    struct host *host = host_of(txn);
    note(host);
    return host->watched.real->del(txn, key);
}

static int watched_kill(struct engine_txn *txn, struct slice prefix, size_t most, bool *more)
{
    struct host *host = host_of(txn);
    note(host);
    return host->watched.real->kill(txn, prefix, most, more);
}

static struct host *watching; /* a cursor does not tell whose it is */

static int watched_seek(struct engine_cursor *cursor, struct slice key, struct slice *found,
                        struct slice *value)
{
    note(watching);
    return watching->watched.real->seek(cursor, key, found, value);
}

static void watch(struct host *host)
{
    struct engine *engine = host->store->engine;
    host->watched = (struct watched){.ops = *engine->ops, .real = engine->ops, .host = host};
    host->watched.ops.write_begin = watched_begin;
    host->watched.ops.commit = watched_commit;
    host->watched.ops.get = watched_get;
    host->watched.ops.put = watched_put;
    host->watched.ops.del = watched_del;
    host->watched.ops.kill = watched_kill;
    host->watched.ops.seek = watched_seek;
    watching = host;
    engine->ops = &host->watched.ops;
    host->stamp = host->store->last_stamp;
}

/* ---- Start ---- */

static void go_on(struct host *host, bool power)
{
    if (power)
        disk_power_on(host->disk);
    else
        disk_go_on(host->disk);
}

static int note_stamp(void *cookie, const struct journal_record *record,
                      struct journal_position position)
{
    *(uint64_t *)cookie = record->stamp;
    return 0;
}

/* The newest stamp that the store has found. */
static uint64_t newest_stamp(struct host *host)
{
    struct store_facts facts;
    char *why = NULL;
    recovery_facts(host->engine, &facts);
    struct journal_read read = {.io = host->options.io,
                                .directory = host->options.directory,
                                .id = facts.id,
                                .from = facts.position,
                                .may_lack = facts.clean,
                                .record = note_stamp,
                                .cookie = &facts.stamp};
    if (journal_read(&read, &why))
        world_fail(host->world, "what was opened cannot be read: %s", why);
    return facts.stamp;
}

/* It may crash while it starts, too. */
static void open_store(struct host *host)
{
    struct world *world = host->world;
    if (world_chance(world, host->options.overlay_bytes == 1 ? 2 : 1, 3))
        disk_power_off(host->disk, 1 + (unsigned)world_random(world, 2u << world_random(world, 4)));
    for (;;) {
        char *why = NULL;
        int error =
            store_open(&host->process->loop, host->engine, &host->options, &host->store, &why);
        if (error == 0)
            break;
        if (!disk_is_off(host->disk))
            world_fail(world, "the store does not open: %s", why ? why : error_name(error));
        world_trace(world, host->process, "crashes while it starts");
        free(why);
        go_on(host, world_chance(world, 2, 3));
    }
    disk_stay_on(host->disk);
    history_recovered(&host->history, host->store->engine, newest_stamp(host), host->crashed,
                      host->crashed + host->term * 101 / 100, host->store->floor);
    watch(host);
}

void host_start(struct host *host)
{
    struct process *p = host->process;
    struct server_limits limits = {
        .lease_time = host->term, .silence_time = 3 * host->term, .recovery_time = host->recovery};
    struct listener *listener;
    char *why;
    world_trace(host->world, p, "starts");
    /* An empty database has no stamp yet that would keep times from going back with the clock. */
    p->wall_offset = host->history.count > 1 ? world_random(host->world, WALL_JUMP) : 0;
    host->ending = false;
    if (world_chance(host->world, 1, 6))
        disk_power_on(host->disk); /* the power had failed */
    open_store(host);
    host->started = host->world->now;
    host->up = true;
    host->server = server_new(&p->loop, &limits);
    if (server_add_namespace(host->server, "USER", host->store, NULL, NULL))
        world_fail(host->world, "the server does not start");
    server_set_marker(host->server, "USER", remember, forget, host);
    server_set_grace(host->server, "USER", host->marked);
    server_listen(host->server, &p->network, "server:1", &listener, &why);
}

static void closed(void *cookie)
{
    struct host *host = cookie;
    host->store = NULL;
    host->up = false;
    world_trace(host->world, host->process, "has ended");
}

static void end(struct host *host)
{
    server_free(host->server);
    host->server = NULL;
    store_close(host->store, closed, host);
}

/* What the journal does not have may be lost. */
static void note_failure(struct host *host)
{
    host->crashed = host->world->now;
    if (host->store->failed)
        host->failed = host->world->now;
}

/* What is left of the process can change nothing, and nobody hears of it. */
void host_crash(struct host *host, bool power)
{
    world_trace(host->world, host->process, "crashes%s", power ? ", as the power fails" : "");
    note_failure(host);
    disk_power_off(host->disk, 0);
    net_crash(host->process);
    host->dying = true;
    if (host->server)
        end(host);
    process_drain(host->process);
    if (host->up)
        world_fail(host->world, "the store did not close");
    host->dying = false;
    go_on(host, power);
}

static void crash_now(void *cookie)
{
    struct host *host = cookie;
    host_crash(host, world_chance(host->world, 1, 2));
}

/* Before anything comes of the change. */
static void disk_went_off(void *cookie)
{
    struct host *host = cookie;
    if (host->up)
        world_after(host->world, 0, crash_now, host);
}

void host_crash_within(struct host *host, unsigned nth)
{
    disk_power_off(host->disk, nth);
}

static void shut_down_done(void *cookie)
{
    struct host *host = cookie;
    note_failure(host);
    if (!host->store->failed)
        host->crashed = 0;
    end(host);
}

void host_shut_down(struct host *host)
{
    world_trace(host->world, host->process, "is told to end");
    host->ending = true;
    server_shutdown(host->server, shut_down_done, host);
}

void host_init(struct host *host, struct process *process, uint64_t term, bool tiny)
{
    struct world *world = process->world;
    *host = (struct host){
        .world = world, .process = process, .engine = engine_mem_new(1u << 24), .term = term};
    host->recovery = term / 2 << world_random(world, 6);
    host->disk = disk_new(world_random(world, 0));
    disk_when_off(host->disk, disk_went_off, host);
    draw_options(host, tiny);
    history_init(&host->history, world);
    engine_mem_keep(host->engine);
    engine_mem_gate(host->engine, gate, host);
}

void host_free(struct host *host)
{
    engine_mem_free(host->engine);
    disk_free(host->disk);
    history_free(&host->history);
}
