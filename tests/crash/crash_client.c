/* SPDX-License-Identifier: Apache-2.0 */
/* A protocol client that works while its server is killed again and again. */
#include <inttypes.h>
#include <signal.h>

#include "net/event.h"
#include "tests/crash/crash_client.h"

#define BURST_MAX   40
#define PENDING_MAX 200
#define FILL        3                          /* nodes that go with a pair, so that memory fills */
#define FILL_KEYS   4000                       /* how many there are of them */
#define PAUSE_MAX   20                         /* ms between bursts */
#define SYNC_MAX    120                        /* ms between syncs */
#define DEADLINE    (UINT64_C(120) * LOOP_SEC) /* for any answer */
#define USAGE                                                                                      \
    "crash_client load ADDRESS NOTES NAME PID-FILE durable|applied | check ADDRESS NOTES NAME... " \
    "| rounds NOTES"

static const char *pid_file;
static uint64_t heard, last_shared;
static volatile sig_atomic_t kill_at_answer, kill_in_burst, terminated;

/* ---- Chosen points of a crash ---- */

static void on_signal(int number)
{
    if (number == SIGUSR1)
        kill_at_answer = 1;
    else if (number == SIGUSR2)
        kill_in_burst = 1;
    else
        terminated = 1;
}

static void kill_server(void *cookie)
{
    FILE *file = fopen(pid_file, "r");
    int pid;

    if (!file || fscanf(file, "%d", &pid) != 1 || kill(pid, SIGKILL) < 0)
        err(1, "%s", pid_file);
    fclose(file);
}

/* ---- Updates ---- */

/* A call without an answer yet. */
struct op {
    enum op_kind { OWN, SHARED, PAIR, LOOK, SYNC } kind;
    uint64_t begun;
    uint64_t number; /* of a pair; what must be there */
    uint64_t own;    /* of a SYNC: what was told then */
};

static struct op *op_new(enum op_kind kind, uint64_t number)
{
    struct op *op = malloc(sizeof(*op));

    if (!op)
        err(1, "op");
    *op = (struct op){.kind = kind, .begun = crash_now(), .number = number};
    crash_load.pending++;
    return op;
}

static void op_end(struct op *op, const char *what, int error)
{
    if (error)
        errx(1, "%s: %s", what, error_text(error));
    crash_longest(&crash_load.notes->longest, op->begun);
    heard = crash_now();
    crash_load.pending--;
    free(op);
    if (kill_at_answer) {
        kill_at_answer = 0;
        kill_server(NULL);
    }
}

/* The answer and what must have been before it, whatever crashes there were: it lives. */
static void own_told(uint64_t value)
{
    struct crash_count *own = &crash_load.notes->own;

    if (value != own->told + 1)
        errx(1,
             "increment %" PRIu64 " of its own counter made %" PRIu64 ", %" PRIu64 " were durable",
             own->told + 1, value, own->durable);
    own->told = value;
    if (!crash_load.applied)
        own->durable = value;
}

static void shared_told(uint64_t value)
{
    uint8_t bit = (uint8_t)(1u << value % 8);

    crash_load.notes->shared.told++;
    if (value <= last_shared)
        errx(1, "the shared counter went from %" PRIu64 " to %" PRIu64, last_shared, value);
    last_shared = value;
    if (crash_load.applied) /* what was told to a client that was killed may be told again */
        return;
    crash_load.notes->shared.durable++;
    if (value >= CRASH_NUMBERS ||
        (__atomic_fetch_or(&crash_load.common->numbers[value / 8], bit, __ATOMIC_SEQ_CST) & bit))
        errx(1, "the shared counter made %" PRIu64 " twice", value);
}

static void pair_told(uint64_t number)
{
    crash_load.notes->pairs.told = number;
    if (!crash_load.applied)
        crash_load.notes->pairs.durable = number;
}

static void on_updated(void *cookie, int error, const struct call_applied *applied)
{
    struct op *op = cookie;

    if (!error && op->kind == OWN)
        own_told(crash_number(applied->values[0]));
    else if (!error && op->kind == SHARED)
        shared_told(crash_number(applied->values[0]));
    else if (!error)
        pair_told(op->number);
    op_end(op, "update", error);
}

static void increment(enum op_kind kind)
{
    struct key key;
    struct update u = {.kind = UPDATE_INCREMENT, .value = slice_str("1")};

    if (kind == OWN)
        crash_key(&key, "OWN", crash_load.name, NULL);
    else
        crash_key(&key, "SHARED", NULL, NULL);
    (kind == OWN ? &crash_load.notes->own : &crash_load.notes->shared)->sent++;
    u.key = key_slice(&key);
    call_update(crash_load.client, &u, 1, on_updated, op_new(kind, 0));
}

/* Two halves, and what makes checkpoints necessary. */
static void write_pair(void)
{
    struct key keys[2 + FILL];
    struct update u[2 + FILL];
    static char text[CRASH_PAIR + 64];
    uint64_t number = ++crash_load.notes->pairs.sent;
    size_t len = crash_text(text, sizeof(text), number, CRASH_PAIR);
    char last[16];

    for (int i = 0; i < 2 + FILL; i++) {
        snprintf(last, sizeof(last), "%u", i < 2 ? (unsigned)i : crash_random(FILL_KEYS));
        crash_key(&keys[i], i < 2 ? "PAIR" : "FILL", crash_load.name, last);
        u[i] = (struct update){
            .kind = UPDATE_SET, .key = key_slice(&keys[i]), .value = slice_of(text, len)};
    }
    call_update(crash_load.client, u, 2 + FILL, on_updated, op_new(PAIR, number));
}

/* ---- Looks at pairs, syncs ---- */

static void on_looked(void *cookie, int error, struct call_nodes *nodes)
{
    struct op *op = cookie;

    if (!error)
        crash_check_pair(nodes, op->number, crash_load.notes->pairs.sent, crash_load.name);
    op_end(op, "scan", error);
}

static void sync_later(void);

static void on_synced(void *cookie, int error)
{
    struct op *op = cookie;
    struct crash_notes *n = crash_load.notes;

    if (!error && crash_load.applied) {
        n->own.durable = op->own;
        n->pairs.durable = op->number;
    }
    op_end(op, "sync", error);
    sync_later();
}

static void sync_now(void *cookie)
{
    struct op *op;

    crash_load.next_sync = NULL;
    if (crash_load.ending)
        return;
    op = op_new(SYNC, crash_load.notes->pairs.told);
    op->own = crash_load.notes->own.told;
    call_sync(crash_load.client, on_synced, op);
}

static void sync_later(void)
{
    unsigned delay = crash_random(SYNC_MAX * (unsigned)LOOP_MS);

    crash_load.next_sync = loop_timer(crash_load.loop, delay, sync_now, NULL);
}

/* ---- The load ---- */

static void burst(void *cookie)
{
    unsigned count = crash_load.pending < PENDING_MAX ? 1 + crash_random(BURST_MAX) : 0;

    crash_load.ending = terminated;
    if (crash_load.pending && crash_now() - heard > DEADLINE)
        errx(1, "no answer to %u calls", crash_load.pending);
    if (crash_load.ending && !crash_load.pending && !crash_load.round) {
        event_loop_stop(crash_load.loop);
        return;
    }
    for (; count && !crash_load.ending; count--) {
        unsigned what = crash_random(20);
        if (what < 10)
            increment(OWN);
        else if (what < 16)
            increment(SHARED);
        else if (what < 19)
            write_pair();
        else
            crash_look(crash_load.name, on_looked, op_new(LOOK, crash_load.notes->pairs.told));
    }
    if (kill_in_burst && !crash_load.ending) {
        kill_in_burst = 0;
        loop_timer(crash_load.loop, crash_random(3 * (unsigned)LOOP_MS), kill_server, NULL);
    }
    loop_timer(crash_load.loop, crash_random(PAUSE_MAX * (unsigned)LOOP_MS), burst, NULL);
}

static void run_load(char **arguments)
{
    srandom((unsigned)getpid());
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    signal(SIGTERM, on_signal);
    pid_file = arguments[3];
    crash_load.applied = strcmp(arguments[4], "applied") == 0;
    crash_load.notes = crash_map(arguments[1], arguments[2], sizeof(*crash_load.notes));
    crash_open(arguments[0], arguments[1], arguments[2]);
    heard = crash_now();
    burst(NULL);
    crash_round(&crash_load);
    sync_later();
    event_loop_run(crash_load.loop);
    crash_load.notes->ended = true;
    loop_cancel(crash_load.loop, crash_load.next_sync);
    loop_cancel(crash_load.loop, crash_load.next_round);
    crash_close();
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "load") == 0) {
        run_load(argv + 2);
    } else if (argc >= 5 && strcmp(argv[1], "check") == 0) {
        crash_check(argv + 2);
    } else if (argc == 3 && strcmp(argv[1], "rounds") == 0) {
        struct crash_common *common = crash_map(argv[2], "common", sizeof(*common));
        printf("%" PRIu64 "\n", common->locked);
    } else {
        errx(2, "usage: %s", USAGE);
    }
    return 0;
}
