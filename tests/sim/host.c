/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and ends the server process; what is on its disk remains. */
#include "tests/sim/host.h"

#include "server/server.h"
#include "store/store.h"
#include "tests/sim/engine_mem.h"
#include "tests/sim/network.h"

#define WALL_JUMP (4 * LOOP_SEC) /* between one run of the process and the next, at most */

void host_init(struct host *host, struct process *process, uint64_t term)
{
    *host = (struct host){.world = process->world,
                          .process = process,
                          .engine = engine_mem_new(1u << 24),
                          .term = term};
    history_init(&host->history, host->world, host->engine);
    engine_mem_keep(host->engine, history_committed, &host->history);
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

void host_start(struct host *host)
{
    struct process *p = host->process;
    struct server_limits limits = {.lease_time = host->term, .silence_time = 3 * host->term};
    struct listener *listener;
    char *why;
    world_trace(host->world, p, "starts");
    /* An empty database has no stamp yet that would keep times from going back with the clock. */
    p->wall_offset = host->history.count > 1 ? world_random(host->world, WALL_JUMP) : 0;
    engine_mem_cut(host->engine, false);
    host->up = true;
    host->ending = false;
    host->server = server_new(&p->loop, &limits);
    if (store_open(&p->loop, host->engine, &host->store) ||
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

void host_crash(struct host *host)
{
    world_trace(host->world, host->process, "crashes");
    net_crash(host->process);
    engine_mem_cut(host->engine, true);
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
    history_free(&host->history);
}
