/* SPDX-License-Identifier: Apache-2.0 */
/* The server process, over a disk that outlives it. */
#ifndef TESTS_SIM_HOST_H
#define TESTS_SIM_HOST_H

#include "tests/sim/history.h"

struct disk;
struct server;
struct store;

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
    struct disk *disk; /* of the journal */
    struct watched watched;
    uint64_t stamp; /* newest that history knows */
    struct history history;
    uint64_t term; /* of leases, ns */
    /* On disk: leases for so long may be out. The disk keeps no fraction, like the real one. */
    uint64_t marked;
    bool up;
    bool ending; /* in an orderly way */
    struct server *server;
    struct store *store;
};

void host_init(struct host *host, struct process *process, uint64_t term);
void host_start(struct host *host);
/* As kill -9. */
void host_crash(struct host *host);
/* As SIGTERM: begins to; host->up becomes false when it has ended. */
void host_shut_down(struct host *host);
/* After a crash, or an end. */
void host_free(struct host *host);

#endif
