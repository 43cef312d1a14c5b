/* SPDX-License-Identifier: Apache-2.0 */
/* A lock over a read, a change and a write: nobody else gets in between, whatever crashes. */
#include <inttypes.h>

#include "tests/crash/crash_client.h"

#define PAUSE_MAX 8 /* ms between rounds */

static struct call_lock_item item(void)
{
    static struct key name;

    crash_key(&name, "LOCKED", NULL, NULL);
    return (struct call_lock_item){.name = key_slice(&name), .exclusive = true};
}

static void must(const char *what, int error)
{
    if (error)
        errx(1, "%s: %s", what, error_text(error));
}

/* What is written cannot be lost any more. */
static void written(struct crash_load *l)
{
    uint64_t before = __atomic_load_n(&l->common->locked, __ATOMIC_SEQ_CST);

    while (before < l->value &&
           !__atomic_compare_exchange_n(&l->common->locked, &before, l->value, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    l->notes->rounds.durable++;
}

static void on_unlocked(void *cookie, int error)
{
    struct crash_load *l = cookie;

    must("unlock", error);
    if (l->applied)
        written(l);
    l->round = false;
    l->next_round =
        loop_timer(l->loop, crash_random(PAUSE_MAX * (unsigned)LOOP_MS), crash_round, l);
}

/* Another one who had written this value, or a later one, would have held the lock as well. */
static void on_written(void *cookie, int error, const struct call_applied *applied)
{
    struct crash_load *l = cookie;
    struct call_lock_item i = item();
    uint64_t before = __atomic_load_n(&l->common->locked, __ATOMIC_SEQ_CST);

    must("set under the lock", error);
    if (before >= l->value)
        errx(1, "two held the lock: %" PRIu64 " was written after %" PRIu64, l->value, before);
    if (!l->applied)
        written(l);
    l->notes->rounds.told++;
    crash_longest(&l->notes->longest_round, l->begun);
    l->held = false;
    call_unlock(l->client, 1, &i, 1, on_unlocked, l);
}

static void on_read(void *cookie, int error, const struct node *node)
{
    struct crash_load *l = cookie;
    struct key key;
    char text[24];
    struct update u = {.kind = UPDATE_SET};
    uint64_t before = __atomic_load_n(&l->common->locked, __ATOMIC_SEQ_CST);

    must("read under the lock", error);
    l->value = crash_number(node->value) + 1;
    if (l->value <= before)
        errx(1, "lost under the lock: %" PRIu64 " is there after %" PRIu64, l->value - 1, before);
    crash_key(&key, "LOCKED", NULL, NULL);
    u.key = key_slice(&key);
    u.value = crash_digits(text, l->value);
    l->notes->rounds.sent++;
    call_update(l->client, &u, 1, on_written, l);
}

static void on_locked(void *cookie, int error, uint64_t stamp)
{
    struct crash_load *l = cookie;
    struct key key;

    must("lock", error);
    l->held = true;
    crash_key(&key, "LOCKED", NULL, NULL);
    call_node(l->client, key_slice(&key), VIEW_GLOBALS, 64, on_read, l);
}

static void ask(struct crash_load *l, bool reclaim, call_lock_fn *done)
{
    struct call_lock_item i = item();
    struct call_lock_args args = {.who = {.owner = 1, .text = slice_str(l->name)},
                                  .items = &i,
                                  .count = 1,
                                  .wait = !reclaim,
                                  .reclaim = reclaim};

    call_lock(l->client, &args, done, l);
}

void crash_round(void *cookie)
{
    struct crash_load *l = cookie;

    l->next_round = NULL;
    if (l->ending)
        return;
    l->round = true;
    l->begun = crash_now();
    ask(l, false, on_locked);
}

static void on_reclaimed(void *cookie, int error, uint64_t stamp)
{
    if (error != ECP_ECANCELED)
        must("the lock is lost", error);
}

void crash_reclaim(void *cookie)
{
    struct crash_load *l = cookie;

    l->notes->restarts++;
    if (l->held)
        ask(l, true, on_reclaimed);
}
