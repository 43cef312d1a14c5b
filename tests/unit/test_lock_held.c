/* SPDX-License-Identifier: Apache-2.0 */
/* What clients remember of their locks: two of them over a server's table, which is lost at times
 * together with all that was on its way, and declared again. */
#include <stdlib.h>
#include "tests/unit/base_random.h"
#include "tests/unit/test_lock_held_util.h"

#define STEPS 600000

static size_t first_open; /* before it, all calls have ended */
static unsigned grants, passes, restarts, refusals;

/* ---- The model ---- */

static void model_add(struct holding *h, const struct call *c)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct call_lock_item *item = &items_of(c)[i];
        int n = name_index(item->name);

        if (!holds(h, c->owner, n))
            h->delegable[c->owner][n] = c->delegable;
        h->delegable[c->owner][n] &= c->delegable;
        if (item->counted)
            h->count[c->owner][n][item->exclusive]++;
        for (int u = 0; u < UNITS && !item->counted; u++)
            if (in_unit(item->start, item->end, u))
                h->mode[c->owner][n][u] = item->exclusive;
    }
}

static void model_take(struct holding *h, const struct call *c)
{
    for (int n = 0; n < NAMES && !c->count; n++) {
        h->count[c->owner][n][0] = h->count[c->owner][n][1] = 0;
        memset(h->mode[c->owner][n], -1, sizeof h->mode[c->owner][n]);
    }
    for (size_t i = 0; i < c->count; i++) {
        const struct call_lock_item *item = &c->items[i];
        int n = name_index(item->name), *count = &h->count[c->owner][n][item->exclusive];

        if (item->counted)
            *count -= *count > 0;
        for (int u = 0; u < UNITS && !item->counted; u++)
            if (in_unit(item->start, item->end, u))
                h->mode[c->owner][n][u] = -1;
    }
}

/* What a LOCK under way may have made shared. */
static void model_weaken(struct holding *h, const struct call *c)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct call_lock_item *item = &c->items[i];
        int n = name_index(item->name);

        for (int u = 0; u < UNITS && !item->counted && !item->exclusive; u++)
            if (in_unit(item->start, item->end, u) && h->mode[c->owner][n][u] == 1)
                h->mode[c->owner][n][u] = 0;
    }
}

/* ---- Owners ---- */

static void on_locked(void *cookie, int error, uint64_t stamp)
{
    struct call *c = cookie;

    (void)stamp;
    c->gone = true;
    refusals += error != 0;
    grants += error == 0;
    if (!error && !c->passed)
        model_add(&c->seat->model, c);
}

static void on_unlocked(void *cookie, int error)
{
    struct call *c = cookie;

    c->gone = true;
    model_take(&c->seat->model, c);
}

/* Calls of the owner that have no answer, by kind; not those that a pass has granted, but also the
 * UNLOCKs of the layer's own. */
static int under_way(struct seat *s, uint64_t owner, enum kind kind)
{
    int count = 0;

    for (size_t i = first_open; i < call_count; i++)
        count += calls[i]->seat == s && calls[i]->owner == owner && calls[i]->kind == kind &&
                 !calls[i]->handle == (kind == UNLOCK) && !calls[i]->gone && !calls[i]->passed;
    return count;
}

/* The owner's side of a call: what it asks of the layer. */
static struct call *asked_new(struct seat *s, enum kind kind, uint64_t owner)
{
    struct call *c = call_new(s, kind, owner);

    c->handle = c;
    return c;
}

static void random_item(struct call_lock_item *item)
{
    uint32_t from = random_below(UNITS), to = from + 1 + random_below(UNITS - from);

    *item = (struct call_lock_item){.name = key_slice(&names[random_below(NAMES)]),
                                    .exclusive = random_below(2),
                                    .counted = random_below(3) == 0};
    if (!item->counted && random_below(2)) {
        item->start = from * 10;
        item->end = to == UNITS ? 0 : to * 10;
    }
}

static void ask(struct seat *s, struct call *c)
{
    struct call_lock_args args = {.who = {.owner = c->owner,
                                          .group = c->owner < GROUPED ? group : NULL,
                                          .process = process_of(c->owner),
                                          .text = slice_str("someone")},
                                  .items = items_of(c),
                                  .count = c->count,
                                  .wait = c->wait,
                                  .delegable = c->delegable};

    c->handle = s->up.lock(s->held, &args, on_locked, c);
}

static void random_lock(struct seat *s, uint64_t owner)
{
    struct call *c;

    if (under_way(s, owner, LOCK))
        return;
    c = asked_new(s, LOCK, owner);
    c->count = random_below(3) ? 1 : 2;
    c->delegable = random_below(2);
    c->wait = random_below(4);
    for (size_t i = 0; i < c->count; i++)
        random_item(&c->items[i]);
    if (random_below(2)) { /* as it may be passed */
        c->count = 1;
        c->items[0].counted = false;
        c->items[0].start = c->items[0].end = 0;
    }
    ask(s, c);
}

static void random_unlock(struct seat *s, uint64_t owner)
{
    bool asking = under_way(s, owner, LOCK);
    struct call *c = asked_new(s, UNLOCK, owner);

    c->count = random_below(2);
    random_item(&c->items[0]);
    if (asking)
        c->items[0].counted = false;
    s->up.unlock(s->held, owner, c->items, c->count, on_unlocked, c);
}

static void random_cancel(struct seat *s)
{
    struct call *c;

    for (size_t i = first_open; i < call_count; i++) {
        c = calls[i];
        if (c->seat == s && c->handle && c->kind == LOCK && !c->gone && random_below(3) == 0) {
            s->up.cancel(s->held, c->handle);
            return;
        }
    }
}

/* The name whose whole the owner holds, not counted, and nothing else; or -1. */
static int only_name(const struct holding *h, uint64_t owner)
{
    int found = -1;

    for (int n = 0; n < NAMES; n++) {
        if (!holds(h, owner, n))
            continue;
        if (found >= 0 || h->count[owner][n][0] || h->count[owner][n][1])
            return -1;
        for (int u = 0; u < UNITS; u++)
            if (h->mode[owner][n][u] < 0 || h->mode[owner][n][u] != h->mode[owner][n][0])
                return -1;
        found = n;
    }
    return found;
}

/* The model's: the LOCK that a pass grants. */
static void model_pass(struct seat *s, uint64_t from, uint64_t to, int n, bool delegable)
{
    struct call whole = {.owner = to, .count = 1, .delegable = delegable};
    int mode = s->model.mode[from][n][0];

    whole.items[0] = (struct call_lock_item){.name = key_slice(&names[n]), .exclusive = mode};
    model_add(&s->model, &whole);
    model_forget(s, from, n);
    for (size_t i = call_count; i-- > first_open;) {
        struct call *c = calls[i];

        if (c->seat != s || !c->handle || c->kind != LOCK || c->owner != to || c->gone ||
            c->count != 1 || c->items[0].counted || c->items[0].exclusive > mode ||
            name_index(c->items[0].name) != n)
            continue;
        c->passed = true;
        break;
    }
}

static void pass(struct seat *s, uint64_t from, uint64_t to, int n, bool delegable)
{
    struct call_lock_who who = {
        .owner = to, .process = process_of(to), .text = slice_str("someone")};

    model_pass(s, from, to, n, delegable);
    s->up.pass(s->held, from, key_slice(&names[n]), delegable, &who);
    passes++;
}

static void random_pass(struct seat *s, uint64_t from)
{
    uint64_t to = GROUPED + random_below(OWNERS - GROUPED);
    int n = only_name(&s->model, from);

    if (n < 0 || from < GROUPED || from == to || under_way(s, from, LOCK) ||
        under_way(s, from, UNLOCK) || under_way(s, to, UNLOCK))
        return;
    if (!s->model.mode[from][n][0] && under_way(s, to, LOCK))
        return; /* it may be granted before the pass: then both say whether it may be kept */
    pass(s, from, to, n, random_below(2));
}

/* An administrator takes a lock; the client hears of it at once. */
static void take_by_force(struct seat *s, uint64_t owner, int n)
{
    quiet();
    lock_release_name(s->session, owner, key_slice(&names[n]));
    serve_events();
    lock_held_lost(s->held, owner, key_slice(&names[n]));
    model_forget(s, owner, n);
}

/* ---- A server started anew ---- */

/* Nothing of a seat is under way, and what is declared is what the client knows of; or more is, and
 * then no less than that is declared which surely is the client's still. */
static void check_declared(struct seat *s, const struct holding *declared)
{
    struct holding sure = s->model;
    bool busy[OWNERS] = {0};

    for (size_t i = first_open; i < call_count; i++) {
        const struct call *c = calls[i];

        if (c->seat != s || !c->handle || c->gone || c->passed)
            continue;
        busy[c->owner] = true;
        c->kind == UNLOCK ? model_take(&sure, c) : model_weaken(&sure, c);
    }
    for (uint64_t o = 0; o < OWNERS; o++) {
        if (!busy[o])
            check_owner(&s->model, declared, o);
        for (int n = 0; n < NAMES; n++) {
            if (!holds(declared, o, n))
                s->model.delegable[o][n] = 1; /* as the next LOCK has it */
            cr_assert(!memcmp(sure.mode[o][n], declared->mode[o][n], sizeof sure.mode[o][n]),
                      "the ranges declared are not those that are surely held");
            for (int m = 0; m < 2; m++)
                cr_assert_eq(declared->count[o][n][m],
                             sure.count[o][n][m] ? s->model.count[o][n][m] : 0);
        }
    }
}

/* What a seat declares it did hold, by one owner or another: no pass counts now. */
static void check_invented(const struct holding *before, const struct holding *after)
{
    for (int n = 0; n < NAMES; n++)
        for (int u = 0; u < UNITS; u++) {
            int was = -1, is = -1;

            for (int o = 0; o < OWNERS; o++) {
                for (int m = 0; m < 2; m++) {
                    was = before->count[o][n][m] && m > was ? m : was;
                    is = after->count[o][n][m] && m > is ? m : is;
                }
                was = before->mode[o][n][u] > was ? before->mode[o][n][u] : was;
                is = after->mode[o][n][u] > is ? after->mode[o][n][u] : is;
            }
            cr_assert_leq(is, was, "a lock is invented");
        }
}

/* All that was on its way is lost; what clients keep is sent again, behind what they declare. */
static void restart(void)
{
    struct holding before[SEATS], after[SEATS];
    size_t end;

    snapshot(before);
    lock_table_free(table);
    table = lock_table_new(NULL);
    for (int i = 0; i < SEATS; i++) {
        seats[i].to_server.head = seats[i].to_server.tail;
        seats[i].to_client.head = seats[i].to_client.tail;
        session_new(&seats[i]);
    }
    end = call_count;
    for (int i = 0; i < SEATS; i++)
        lock_held_reclaim(seats[i].held);
    for (int i = 0; i < SEATS; i++)
        while (one_step(&seats[i], false))
            ;
    snapshot(after);
    for (int i = 0; i < SEATS && claims_left < 0; i++) {
        check_declared(&seats[i], &after[i]);
        check_invented(&before[i], &after[i]);
    }
    for (size_t i = first_open; i < end; i++) {
        struct call *c = calls[i];

        c->request = NULL;
        if (!c->gone && !c->handle && (c->kind == UNLOCK || c->kind == LOCK))
            push(&c->seat->to_server, c);
    }
    restarts++;
}

/* Table and model are the same, but where a LOCK that waits may have been declared as done. */
static void check_quiet(void)
{
    struct holding all[SEATS];

    quiet();
    snapshot(all);
    for (int i = 0; i < SEATS; i++)
        for (uint64_t o = 0; o < OWNERS; o++)
            if (!under_way(&seats[i], o, LOCK))
                check_owner(&seats[i].model, &all[i], o);
    while (first_open < call_count && (calls[first_open]->gone || calls[first_open]->kind > UNLOCK))
        first_open++;
}

TestSuite(lock_held, .init = setup, .fini = teardown, .timeout = 120);

static void step(void)
{
    struct seat *s = &seats[random_below(SEATS)];
    uint64_t owner = random_below(OWNERS);

    switch (random_below(14)) {
    case 0:
    case 1:
        random_lock(s, owner);
        break;
    case 2:
    case 3:
        random_unlock(s, owner);
        break;
    case 4:
    case 5:
        random_pass(s, owner);
        break;
    case 6:
        if (random_below(4) == 0)
            random_cancel(s);
        break;
    case 7:
        if (random_below(40) == 0)
            take_by_force(s, owner, (int)random_below(NAMES));
        break;
    default:
        one_step(s, random_below(2));
    }
}

Test(lock_held, declares_what_is_held_at_any_moment)
{
    for (int i = 0; i < STEPS; i++) {
        step();
        if (random_below(60) == 0)
            check_quiet();
        if (random_below(40) == 0)
            restart();
    }
    check_quiet();
    cr_assert_gt(grants, 3000u, "%u", grants);
    cr_assert_gt(waits, 1000u, "%u", waits);
    cr_assert_gt(refusals, 300u, "%u", refusals);
    cr_assert_gt(passes, 300u, "%u", passes);
    cr_assert_gt(restarts, 1000u, "%u", restarts);
    cr_assert_gt(failures, 0u, "no LOCK was refused after it was declared as done");
}

/* ---- One by one ---- */

static struct call *lock(struct seat *s, uint64_t owner, int n)
{
    struct call *c = asked_new(s, LOCK, owner);

    c->count = 1;
    c->wait = true;
    c->items[0] = (struct call_lock_item){.name = key_slice(&names[n]), .exclusive = true};
    ask(s, c);
    return c;
}

static void unlock_all(struct seat *s, uint64_t owner)
{
    struct call *c = asked_new(s, UNLOCK, owner);

    s->up.unlock(s->held, owner, NULL, 0, on_unlocked, c);
}

static size_t locks(void)
{
    return lock_table_stats(table)->locks;
}

Test(lock_held, owner_is_told_what_is_refused)
{
    lock(&seats[0], 2, 1);
    lock(&seats[0], 3, 3);
    quiet();
    claims_left = 1;
    restart();
    quiet();
    cr_assert_eq(failures, 1u);
    cr_assert_eq(locks(), 1u);
    claims_left = -1;
    restart();
    cr_assert_eq(locks(), 1u, "what was lost is declared");
}

Test(lock_held, owner_that_was_passed_the_lock_is_told)
{
    lock(&seats[0], 2, 1);
    quiet();
    claims_left = 0;
    restart();
    pass(&seats[0], 2, 3, 1, true);
    quiet();
    cr_assert_eq(failures, 1u);
    cr_assert_eq(failed_owner, 3u);
}

static void lock_many(struct seat *s, uint64_t owner, int n, size_t count)
{
    struct call *c = asked_new(s, LOCK, owner);

    c->count = count;
    c->many = calloc(count, sizeof *c->many);
    for (size_t i = 0; i < count; i++)
        c->many[i] = (struct call_lock_item){.name = key_slice(&names[n]), .counted = true};
    ask(s, c);
}

Test(lock_held, what_does_not_fit_into_one_call_is_declared_and_given_up_as_a_whole)
{
    for (int i = 0; i < 2; i++)
        lock_many(&seats[0], 2, 1, LOCK_ITEMS_MAX - 10);
    quiet();
    restart();
    check_quiet();
    claims_left = 1;
    restart();
    cr_assert_eq(locks(), 1u);
    quiet();
    cr_assert_eq(failures, 1u);
    cr_assert_eq(locks(), 0u, "the server still has a part of it");
}

Test(lock_held, declares_anew_when_the_server_goes_away_meanwhile)
{
    lock(&seats[0], 2, 1);
    quiet();
    restart();
    restart();
    cr_assert_eq(drops, 1u, "the first declaration would be sent again");
    check_quiet();
    cr_assert_eq(locks(), 1u);
    cr_assert_eq(failures, 0u);
}

/* Sent again, its LOCK would wait, and get a lock that nobody knows of. */
Test(lock_held, lock_that_a_pass_has_granted_is_not_asked_for_again)
{
    struct call *waiting;

    lock(&seats[0], 2, 1);
    quiet();
    waiting = lock(&seats[0], 3, 1);
    one_step(&seats[0], false);
    pass(&seats[0], 2, 3, 1, true);
    pass(&seats[0], 3, 4, 1, true);
    cr_assert(!waiting->gone);
    restart();
    cr_assert(waiting->gone);
    check_quiet();
    unlock_all(&seats[0], 4);
    quiet();
    cr_assert_eq(locks(), 0u);
}

Test(lock_held, nothing_is_left_of_a_lost_session)
{
    lock(&seats[0], 2, 1);
    quiet();
    restart();
    lock_held_session_lost(seats[0].held);
    cr_assert_eq(drops, 1u);
    nothing(&seats[0].model);
    restart();
    cr_assert_eq(locks(), 0u);
}
