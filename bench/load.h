/* SPDX-License-Identifier: Apache-2.0 */
/* What load programs share: many sessions with one server, keys, options, the server's figures. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdint.h>

#include "base/key.h"
#include "net/call.h"

/* Sessions are made one after the other, for the server's queue of connections is short. */
struct load {
    struct loop *loop;
    struct network *network;
    const char *address;
    unsigned count, connected;
    struct load_session {
        struct load *load;
        struct client *client;
        void *user;     /* the program's own; given to `invalidate` and `lease_lost` */
        uint64_t begun; /* of what it waits for */
    } * session;
    /* Set before load_connect, or NULL. */
    void (*invalidate)(void *session, uint64_t serial, const struct touch *touches, size_t count);
    void (*lease_lost)(void *session);
    void (*prepare)(struct load_session *session); /* after its client was made */
    void (*ready)(struct load *load);              /* all are connected */
};

void load_open(struct load *load, const char *program, const char *address, unsigned count);
/* Calls load->ready in the end, from the loop; the loop runs until event_loop_stop. */
void load_run(struct load *load);
/* The cookie of client_config is the session. */
void load_close(struct load *load);

_Noreturn void load_fail(const char *what, int error);

/* ^GLOBAL(number). */
void load_key(struct key *key, const char *global, uint64_t number);
extern const struct slice load_value; /* 50 bytes */

/* Numbers that a seed repeats. */
uint64_t load_random(uint64_t *state);

/* "--name NUMBER" pairs; anything else ends the program with `usage`. */
struct load_option {
    const char *name;
    uint64_t *value;
};
void load_options(char **argv, const struct load_option *options, size_t count, const char *usage);

/* Of a process: memory of its own (not mapped files) in bytes, CPU time in ns. */
uint64_t load_resident(int pid);
uint64_t load_cpu(int pid);

/* p50, p99 and p99.9 of times in ns, sorted by this; prints "PREFIX-p50 NS" and so on. */
void load_percentiles(const char *prefix, uint64_t *times, size_t count);

#endif
