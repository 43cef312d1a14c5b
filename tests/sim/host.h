/* SPDX-License-Identifier: Apache-2.0 */
/* The server process, over a disk that outlives it. */
#ifndef TESTS_SIM_HOST_H
#define TESTS_SIM_HOST_H

#include "store/store.h"
#include "tests/sim/history.h"

struct disk;
struct server;

/* The operations of the store's engine, with some in between. */
struct watched {
    struct engine_ops ops;
    const struct engine_ops *real;
    struct host *host;
};

struct host {
    struct world *world;
    struct process *process;
    struct engine *engine;
    struct disk *disk; /* of the journal; commits of the engine count as changes of it */
    int base_error;    /* commits of the engine fail with it */
    struct store_options options;
    struct watched watched;
    struct engine_txn *writing;
    uint64_t stamp; /* newest that history knows */
    struct history history;
    uint64_t term;     /* of leases, ns */
    uint64_t recovery; /* of sessions, ns */
    /* On disk: leases for so long may be out. The disk keeps no fraction, like the real one. */
    uint64_t marked;
    uint64_t started; /* last: true time */
    uint64_t crashed; /* when it ended last, unless everything was on disk: true time */
    uint64_t failed;  /* when it ended last with a journal that could not be written */
    bool up;
    bool ending; /* in an orderly way */
    bool dying;  /* what is applied now nobody hears of */
    struct server *server;
    struct store *store;
};

/* tiny: memory holds next to nothing, and checkpoints are in the smallest pieces. */
void host_init(struct host *host, struct process *process, uint64_t term, bool tiny);
void host_start(struct host *host);
/* As kill -9; or as when the power fails. */
void host_crash(struct host *host, bool power);
/* It crashes as the disk is about to be changed for the nth time from now. */
void host_crash_within(struct host *host, unsigned nth);
/* As SIGTERM: begins to; host->up becomes false when it has ended. */
void host_shut_down(struct host *host);
/* After a crash, or an end. */
void host_free(struct host *host);

/* Whether updates are acknowledged when they are durable. */
bool host_acknowledges_durable(const struct host *host);
/* Whether the journal has failed, at some time since then. */
bool host_failed(const struct host *host, uint64_t since);

#endif
