/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and ends the server process; what is on its disk remains. */
#include "tests/sim/host.h"

#include <stdlib.h>

#include "server/server.h"
#include "store/store_int.h"
#include "tests/sim/disk.h"
#include "tests/sim/engine_mem.h"
#include "tests/sim/network.h"

#define WALL_JUMP (4 * LOOP_SEC) /* between one run of the process and the next, at most */

void host_init(struct host *host, struct process *process, uint64_t term)
{
    *host = (struct host){.world = process->world,
                          .process = process,
                          .engine = engine_mem_new(1u << 24),
                          .term = term};
    host->disk = disk_new(1);
    history_init(&host->history, host->world);
    engine_mem_keep(host->engine);
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

/* ---- The overlay's transactions, watched: each that changes something is a state more. ---- */

static int watched_commit(struct engine_txn *txn)
{
    struct host *host = ((struct watched *)txn->engine->ops)->host;
    uint64_t stamp = host->store->last_stamp;
    int error = host->watched.real->commit(txn);
    if (stamp != host->stamp)
        history_committed(&host->history, stamp);
    host->stamp = stamp;
    return error;
}

static void watch(struct host *host)
{
    struct engine *engine = host->store->engine;
    host->watched =
        (struct watched){.ops = *engine->ops, .real = engine->ops, .host = host};
    host->watched.ops.commit = watched_commit;
    engine->ops = &host->watched.ops;
    host->stamp = host->store->last_stamp;
    host->history.engine = engine;
}

static int open_store(struct host *host)
{
    struct store_options options = {.io = disk_io(host->disk),
                                    .directory = "db",
                                    .segment_bytes = 1u << 17,
                                    .checkpoint_after = LOOP_SEC};
    char *why;
    int error = store_open(&host->process->loop, host->engine, &options, &host->store, &why);
    if (error == 0)
        watch(host);
    free(why);
    return error;
}

void host_start(struct host *host)
{
    struct process *p = host->process;
    struct server_limits limits = {.lease_time = host->term, .silence_time = 3 * host->term};
    struct listener *listener;
    char *why;
    world_trace(host->world, p, "starts");
    /* An empty database has no stamp yet that would keep times from going back with the clock. */
    p->wall_offset = host->history.count > 1 ? world_random(host->world, WALL_JUMP) : 0;
    host->up = true;
    host->ending = false;
    host->server = server_new(&p->loop, &limits);
    if (open_store(host) ||
        server_add_namespace(host->server, "USER", host->store, NULL, NULL))
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

/*
 * What was not applied will not be. What was is durable: readers may have seen it, and clients do
 * not send again what was lost.
 */
void host_crash(struct host *host)
{
    world_trace(host->world, host->process, "crashes");
    net_crash(host->process);
    host->store->failed = ECP_EIO;
    if (host->server)
        end(host);
    process_drain(host->process);
    if (host->up)
        world_fail(host->world, "the store did not close");
}

static void shut_down_done(void *cookie)
{
    end(cookie);
}

void host_shut_down(struct host *host)
{
    world_trace(host->world, host->process, "is told to end");
    host->ending = true;
    server_shutdown(host->server, shut_down_done, host);
}

void host_free(struct host *host)
{
    engine_mem_free(host->engine);
    disk_free(host->disk);
    history_free(&host->history);
}
