/* SPDX-License-Identifier: Apache-2.0 */
/* Two clients with the layer that remembers their locks, over a table: messages on their way. */
#ifndef UNIT_TEST_LOCK_HELD_UTIL_H
#define UNIT_TEST_LOCK_HELD_UTIL_H

#include <criterion/criterion.h>

#include "locks/lock_held.h"
#include "locks/lock_table.h"
#include "tests/unit/lock_names.h"

#define SEATS   2
#define OWNERS  5
#define GROUPED 2 /* the first of each seat are of one group */
#define UNITS   4 /* of range; the last has no end */
#define ITEMS   3
#define CALLS   (1 << 20)
#define QUEUE   4096
enum kind { LOCK, UNLOCK, CANCEL, PASS };

/* A message of a client, which keeps it until it is answered. */
struct call {
    enum kind kind;
    struct seat *seat;
    uint64_t owner, to;
    bool wait, delegable, claim, gone; /* gone: answered, or dropped */
    bool passed;                       /* the model's: a pass has granted it */
    struct call_lock_item items[ITEMS];
    struct call_lock_item *many; /* in place of items */
    size_t count;
    struct key name;
    struct lock_request *request;
    struct call *other; /* CANCEL */
    call_lock_fn *locked;
    call_done_fn *unlocked;
    void *cookie, *handle;
    int error;
};

struct queue {
    struct call *calls[QUEUE];
    size_t head, tail;
};

/* Modes by owner, name and unit; -1: none. */
struct holding {
    int mode[OWNERS][NAMES][UNITS], count[OWNERS][NAMES][2], delegable[OWNERS][NAMES];
};

struct seat {
    struct lock_upstream up;
    struct lock_held *held;
    struct lock_session *session;
    struct queue to_server, to_client;
    struct holding model; /* what the client has been told */
};

extern struct lock_table *table;
extern struct seat seats[SEATS];
extern struct key names[NAMES];
extern struct call *calls[CALLS]; /* all that were made */
extern size_t call_count;
extern unsigned waits, failures, drops;
extern int claims_left; /* to be granted before all others are refused; -1: no bound */
extern uint64_t failed_owner;
extern const uint8_t group[LOCK_GROUP_LEN];

void setup(void);
void teardown(void);
void session_new(struct seat *s);

struct call *call_new(struct seat *s, enum kind kind, uint64_t owner);
/* A message on its way. */
void push(struct queue *q, struct call *c);
const struct call_lock_item *items_of(const struct call *c);
uint64_t process_of(uint64_t owner);
int name_index(struct slice name);
bool in_unit(uint64_t start, uint64_t end, int u);

/* The server tells what its table says. */
void serve_events(void);
/* One message is heard by the client, or by the server; false: there is none. */
bool one_step(struct seat *s, bool client);
/* All messages arrive, and all that follows from them. */
void quiet(void);

void nothing(struct holding *h);
/* What the table has, by seat. */
void snapshot(struct holding *all);
bool holds(const struct holding *h, uint64_t o, int n);
void check_owner(const struct holding *a, const struct holding *b, uint64_t o);
void model_forget(struct seat *s, uint64_t owner, int n);

#endif
