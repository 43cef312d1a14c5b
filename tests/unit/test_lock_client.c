/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of locks: two of them over a server's lock table, with messages on their way.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "locks/lock_client.h"
#include "locks/lock_table.h"
#include "tests/unit/base_random.h"
#include "tests/unit/lock_names.h"
#include "tests/unit/test_loop.h"

#define SEATS    2
#define OWNERS   5
#define MESSAGES 4096

enum what { LOCK, CANCEL, UNLOCK, UNLOCK_ALL, KEPT, PASS, LOCKED, FAILED, UNLOCKED, RECALL, LOST };

struct message {
    enum what what;
    struct key name;
    struct lock_item item;
    uint64_t owner, to;
    unsigned flags;
    int error;
    struct upcall *call;
};

/* A call at the server. */
struct upcall {
    struct seat *seat;
    call_lock_fn *done;
    call_done_fn *plain;
    void *cookie;
    struct lock_request *request;
    bool answered;
};

struct queue {
    struct message m[MESSAGES];
    size_t head, tail;
};

struct owner {
    struct seat *seat;
    int index, name, mode; /* mode of the lock it holds, or -1 */
    struct lock_call *call;
    int wanted_name, wanted_mode;
    uint64_t stamp;
};

struct seat {
    struct lock_client *client;
    struct lock_session *session;
    struct queue up, down;
    struct owner owners[OWNERS];
    unsigned losses;
};

static struct loop *loop;
static struct lock_table *table;
static struct seat seats[SEATS];
static struct key names[NAMES];
static uint64_t last_stamp;
static struct upcall *upcalls[1 << 16];
static size_t upcall_count;
static unsigned grants, refusals, messages_up;
static bool forced; /* an administrator has taken a lock, and not all know yet */

static struct message *push(struct queue *q, enum what what)
{
    struct message *m = &q->m[q->tail++ % MESSAGES];
    cr_assert_lt(q->tail - q->head, (size_t)MESSAGES);
    *m = (struct message){.what = what};
    return m;
}

/* Freed at the end: a CANCEL may come when it is answered. */
static struct upcall *upcall_new(void)
{
    cr_assert_lt(upcall_count, sizeof upcalls / sizeof *upcalls);
    return upcalls[upcall_count++] = calloc(1, sizeof(struct upcall));
}

/* ---- What the client calls ---- */

static void set_item(struct message *m, const struct call_lock_item *item)
{
    key_copy(&m->name, item->name);
    m->item = (struct lock_item){.mode = item->exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED,
                                 .end = item->end ? item->end : LOCK_RANGE_END};
}

static void *up_lock(void *cookie, const struct call_lock_args *args, call_lock_fn *done,
                     void *done_cookie)
{
    struct seat *s = cookie;
    struct message *m = push(&s->up, LOCK);
    struct upcall *u = upcall_new();
    *u = (struct upcall){.seat = s, .done = done, .cookie = done_cookie};
    set_item(m, &args->items[0]);
    m->owner = args->who.owner;
    m->flags = (args->wait ? LOCK_WAIT : 0) | (args->delegable ? LOCK_DELEGABLE : 0);
    m->call = u;
    messages_up++;
    return u;
}

static void up_cancel(void *cookie, void *call)
{
    push(&((struct seat *)cookie)->up, CANCEL)->call = call;
}

static void up_unlock(void *cookie, uint64_t owner, const struct call_lock_item *items,
                      size_t count, call_done_fn *done, void *done_cookie)
{
    struct seat *s = cookie;
    struct message *m = push(&s->up, count ? UNLOCK : UNLOCK_ALL);
    struct upcall *u = upcall_new();
    *u = (struct upcall){.seat = s, .plain = done, .cookie = done_cookie};
    if (count)
        set_item(m, &items[0]);
    m->owner = owner;
    m->call = u;
    messages_up++;
}

static void up_kept(void *cookie, uint64_t owner, struct slice name)
{
    struct message *m = push(&((struct seat *)cookie)->up, KEPT);
    m->owner = owner;
    key_copy(&m->name, name);
}

static void up_pass(void *cookie, uint64_t from, struct slice name, bool delegable,
                    const struct call_lock_who *to)
{
    struct message *m = push(&((struct seat *)cookie)->up, PASS);
    m->owner = from;
    m->to = to->owner;
    m->flags = delegable;
    key_copy(&m->name, name);
}

static void up_lost(void *cookie, uint64_t owner, bool all, struct slice name)
{
    struct seat *s = cookie;
    s->losses++;
    s->owners[owner].mode = -1;
}

/* ---- The server ---- */

static void answer(struct upcall *u, enum what what, int error)
{
    struct message *m = push(&u->seat->down, what);
    m->call = u;
    m->error = error;
    u->answered = true;
}

static void say(struct seat *s, enum what what, uint64_t owner, struct slice name)
{
    struct message *m = push(&s->down, what);
    m->owner = owner;
    key_copy(&m->name, name);
}

static void serve_events(void)
{
    struct lock_event e;
    while (lock_next_event(table, &e)) {
        struct seat *s = lock_session_cookie(e.session);
        if (e.kind == LOCK_EVENT_RECALL) {
            say(s, RECALL, e.owner, key_slice(&e.name));
        } else {
            answer(e.cookie, e.kind == LOCK_EVENT_GRANTED ? LOCKED : FAILED,
                   e.kind == LOCK_EVENT_BUSY ? ECP_EBUSY : ECP_EDEADLOCK);
        }
    }
}

static void serve_lock(struct seat *s, struct message *m)
{
    struct lock_who who = {.owner = m->owner};
    m->item.name = key_slice(&m->name);
    int error = lock_ask(s->session, &who, &m->item, 1, m->flags, 0, m->call, &m->call->request);
    if (error || !m->call->request)
        answer(m->call, error ? FAILED : LOCKED, error);
}

/* What an administrator has taken since the client passed it on, the next owner has not got. */
static void serve_pass(struct seat *s, struct message *m)
{
    struct lock_who to = {.owner = m->to};
    void *ended = NULL;
    enum lock_pass_end end =
        lock_pass(s->session, m->owner, &to, key_slice(&m->name), m->flags, &ended);
    cr_assert(end == LOCK_PASSED || forced, "the server does not know the lock that is passed on");
    if (ended)
        answer(ended, end == LOCK_PASSED ? LOCKED : FAILED, ECP_ECANCELED);
    if (end == LOCK_PASS_IN_VAIN)
        say(s, LOST, m->to, key_slice(&m->name));
}

static void serve(struct seat *s)
{
    struct message *m = &s->up.m[s->up.head++ % MESSAGES];
    switch (m->what) {
    case LOCK:
        serve_lock(s, m);
        break;
    case CANCEL:
        if (!m->call->answered) {
            lock_cancel(m->call->request);
            answer(m->call, FAILED, ECP_ECANCELED);
        }
        break;
    case UNLOCK:
        m->item.name = key_slice(&m->name);
        lock_release(s->session, m->owner, &m->item, 1);
        answer(m->call, UNLOCKED, 0);
        break;
    case UNLOCK_ALL:
        lock_release_owner(s->session, m->owner);
        answer(m->call, UNLOCKED, 0);
        break;
    case KEPT:
        lock_kept(s->session, m->owner, key_slice(&m->name));
        break;
    default:
        serve_pass(s, m);
    }
    serve_events();
}

static void hear(struct seat *s)
{
    struct message *m = &s->down.m[s->down.head++ % MESSAGES];
    if (m->what == RECALL || m->what == LOST) {
        lock_client_said(s->client, m->what == LOST, m->owner, key_slice(&m->name));
    } else {
        if (m->what == LOCKED)
            m->call->done(m->call->cookie, 0, last_stamp += 1000);
        else if (m->what == FAILED)
            m->call->done(m->call->cookie, m->error, 0);
        else if (m->call->plain)
            m->call->plain(m->call->cookie, 0);
        m->call = NULL;
    }
}

/* ---- Owners ---- */

/* No two hold what conflicts, wherever they are; but who is being told of a loss. */
static void check_exclusion(void)
{
    if (forced)
        return;
    for (int i = 0; i < SEATS * OWNERS; i++)
        for (int j = 0; j < i; j++) {
            struct owner *a = &seats[i / OWNERS].owners[i % OWNERS];
            struct owner *b = &seats[j / OWNERS].owners[j % OWNERS];
            if (a->mode < 0 || b->mode < 0 || (!a->mode && !b->mode))
                continue;
            struct slice x = key_slice(&names[a->name]), y = key_slice(&names[b->name]);
            cr_assert(!slice_has_prefix(x, y) && !slice_has_prefix(y, x),
                      "two owners hold conflicting locks");
        }
}

static void on_lock(void *cookie, int error, uint64_t stamp)
{
    struct owner *o = cookie;
    o->call = NULL;
    if (error) {
        refusals++;
        return;
    }
    grants++;
    o->name = o->wanted_name;
    o->mode = o->wanted_mode;
    o->stamp = stamp;
    check_exclusion();
}

static void lock(struct owner *o, int name, int mode, bool wait)
{
    struct call_lock_item item = {.name = key_slice(&names[name]), .exclusive = mode};
    struct call_lock_args args = {
        .who = {.owner = (uint64_t)o->index}, .items = &item, .count = 1, .wait = wait};
    o->wanted_name = name;
    o->wanted_mode = mode;
    o->call = lock_client_lock(o->seat->client, &args, on_lock, o);
}

static void unlock(struct owner *o, bool all)
{
    struct call_lock_item item = {.name = key_slice(&names[o->name])};
    o->mode = -1;
    lock_client_unlock(o->seat->client, (uint64_t)o->index, &item, all ? 0 : 1, NULL, NULL);
}

static bool one_step(struct seat *s, uint32_t which)
{
    if (which == 0 && s->up.head < s->up.tail)
        serve(s);
    else if (which == 1 && s->down.head < s->down.tail)
        hear(s);
    else
        return false;
    return true;
}

/* All messages arrive, and all that follows from them. */
static void quiet(void)
{
    for (bool more = true; more;) {
        more = false;
        test_loop_run(loop);
        for (int i = 0; i < SEATS; i++)
            more |= (int)one_step(&seats[i], 0) | (int)one_step(&seats[i], 1);
    }
}

/* An administrator takes it; all that follows from that. */
static void force(struct seat *s, uint64_t owner, int name)
{
    forced = true;
    say(s, LOST, owner, key_slice(&names[name]));
    lock_release_name(s->session, owner, key_slice(&names[name]));
    serve_events();
    quiet();
    forced = false;
    check_exclusion();
}

static void setup(void)
{
    loop = test_loop_new();
    table = lock_table_new(NULL);
    lock_names(names);
    for (int i = 0; i < SEATS; i++) {
        struct seat *s = &seats[i];
        struct lock_upstream up = {up_lock, up_cancel, up_unlock, up_kept, up_pass, up_lost, s};
        s->client = lock_client_new(loop, &up);
        s->session = lock_session_new(table, s);
        for (int j = 0; j < OWNERS; j++)
            s->owners[j] = (struct owner){.seat = s, .index = j, .mode = -1};
    }
}

static void teardown(void)
{
    for (int i = 0; i < SEATS; i++)
        lock_client_free(seats[i].client);
    while (upcall_count)
        free(upcalls[--upcall_count]);
    lock_table_free(table);
    test_loop_free(loop);
}

TestSuite(lock_client, .init = setup, .fini = teardown, .timeout = 60);

Test(lock_client, second_lock_asks_nobody)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[0].owners[1];
    lock(a, 1, 1, true);
    quiet();
    cr_assert_eq(a->mode, 1);
    unlock(a, true);
    quiet();
    messages_up = 0;
    uint64_t before = a->stamp;
    for (int i = 0; i < 10; i++) {
        lock(i % 2 ? a : b, 1, 1, true);
        test_loop_run(loop);
        cr_assert_geq((i % 2 ? a : b)->mode, 0, "granted without the server");
        cr_assert_gt((i % 2 ? a : b)->stamp, before);
        before = (i % 2 ? a : b)->stamp;
        unlock(i % 2 ? a : b, false);
    }
    quiet();
    cr_assert_eq(messages_up, 0u);
    cr_assert_eq(lock_client_stats(seats[0].client)->local, 10u);
}

/* A reader that got an idle exclusive lock would keep readers elsewhere out. */
Test(lock_client, idle_lock_of_another_mode_is_not_taken)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[1].owners[0];
    for (int same = 0; same < 2; same++) {
        lock(a, 1, 1, true);
        quiet();
        unlock(a, true);
        lock(same ? a : &seats[0].owners[1], 1, 0, true);
        lock(b, 1, 0, false);
        quiet();
        cr_assert_eq((same ? a : &seats[0].owners[1])->mode, 0);
        cr_assert_eq(b->mode, 0);
        unlock(same ? a : &seats[0].owners[1], true);
        unlock(b, true);
        quiet();
    }
}

Test(lock_client, what_cannot_wait_gets_what_is_idle_elsewhere)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[1].owners[0];
    lock(a, 1, 1, true);
    quiet();
    lock(b, 1, 1, false);
    quiet();
    cr_assert_eq(b->mode, -1);
    unlock(a, true);
    quiet();
    lock(a, 1, 1, true);
    quiet();
    unlock(a, true);
    lock(b, 1, 1, false);
    quiet();
    cr_assert_eq(b->mode, 1);
}

Test(lock_client, idle_lock_goes_to_who_asks)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[1].owners[0];
    lock(a, 1, 1, true);
    quiet();
    unlock(a, true);
    lock(b, 0, 1, true);
    quiet();
    cr_assert_eq(b->mode, 1);
    cr_assert_eq(lock_client_stats(seats[0].client)->held, 0u);
}

Test(lock_client, used_lock_goes_when_its_owner_is_done)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[1].owners[0];
    lock(a, 1, 1, true);
    quiet();
    lock(b, 1, 1, true);
    quiet();
    cr_assert_eq(b->mode, -1);
    unlock(a, true);
    quiet();
    cr_assert_eq(b->mode, 1);
}

/* Many here wait, and one there: it gets its turn after a bounded number of passes. */
Test(lock_client, others_get_their_turn)
{
    struct owner *remote = &seats[1].owners[0];
    int passes = 0;
    lock(&seats[0].owners[0], 1, 1, true);
    quiet();
    lock(remote, 1, 1, true);
    for (int i = 1; i < OWNERS; i++)
        lock(&seats[0].owners[i], 1, 1, true);
    quiet();
    while (remote->mode < 0) {
        struct owner *holder = NULL;
        for (int i = 0; i < OWNERS; i++)
            if (seats[0].owners[i].mode == 1)
                holder = &seats[0].owners[i];
        cr_assert(holder);
        cr_assert_leq(passes++, LOCK_CLIENT_PASSES);
        unlock(holder, true);
        lock(holder, 1, 1, true);
        quiet();
    }
    cr_assert_eq(passes, LOCK_CLIENT_PASSES + 1);
    cr_assert_eq(lock_client_stats(seats[0].client)->passed, (uint64_t)LOCK_CLIENT_PASSES);
}

Test(lock_client, end_of_the_session_is_told_to_who_holds)
{
    lock(&seats[0].owners[0], 1, 1, true);
    lock(&seats[0].owners[1], 3, 1, true);
    quiet();
    unlock(&seats[0].owners[1], true);
    lock_client_lost(seats[0].client);
    cr_assert_eq(seats[0].losses, 1u);
    cr_assert_eq(seats[0].owners[0].mode, -1);
    cr_assert_eq(lock_client_stats(seats[0].client)->held, 0u);
}

/* Whoever got it would have what the owner still has below. */
Test(lock_client, lock_does_not_pass_from_who_has_another_that_rests_on_it)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[0].owners[1];
    lock(a, 1, 1, true);
    quiet();
    lock(a, 0, 1, true);
    quiet();
    lock(b, 0, 1, true);
    quiet();
    unlock(a, false);
    quiet();
    cr_assert_eq(b->mode, -1);
    unlock(a, true);
    quiet();
    cr_assert_eq(b->mode, 1);
}

/* The first owner's lock goes on to those that wait here, and the server has heard of none of it
 * when an administrator takes the lock. Returns who has it then. */
static struct owner *take_while_it_passes(int passes)
{
    struct owner *owners = seats[0].owners;
    for (int i = 1; i <= passes; i++)
        lock(&owners[i], 1, 1, true);
    quiet();
    for (int i = 0; i < passes; i++) {
        unlock(&owners[i], false);
        test_loop_run(loop);
    }
    cr_assert_eq(owners[passes].mode, 1);
    force(&seats[0], 0, 1);
    return &owners[passes];
}

/* Nothing stays locked for nobody, and no request is left. */
static void all_can_be_locked_again(void)
{
    struct owner *any = &seats[1].owners[1];
    for (int i = 0; i < SEATS * OWNERS; i++) {
        struct owner *o = &seats[i / OWNERS].owners[i % OWNERS];
        if (o->mode >= 0)
            unlock(o, true);
        quiet();
    }
    lock(any, 1, 1, false);
    quiet();
    cr_assert_eq(any->mode, 1);
    cr_assert_eq(lock_table_stats(table)->locks, 1u);
    cr_assert_eq(lock_table_stats(table)->owners, 1u);
}

/* LOST is for an owner that has it no longer. Who has it by then loses it all the same. */
Test(lock_client, lock_lost_while_it_passes)
{
    for (int passes = 1; passes < OWNERS; passes++) {
        struct owner *remote = &seats[1].owners[0];
        seats[0].losses = 0;
        lock(&seats[0].owners[0], 1, 1, true);
        quiet();
        lock(remote, 1, 1, true);
        quiet();
        cr_assert_eq(take_while_it_passes(passes)->mode, -1, "two hold it");
        cr_assert_eq(remote->mode, 1);
        cr_assert_eq(seats[0].losses, 1u);
        all_can_be_locked_again();
        unlock(&seats[1].owners[1], true);
        quiet();
    }
}

Test(lock_client, lock_lost_while_it_passes_to_the_next_in_the_queue)
{
    lock(&seats[0].owners[0], 1, 1, true);
    quiet();
    cr_assert_eq(take_while_it_passes(1)->mode, 1);
    cr_assert_eq(seats[0].losses, 0u);
    all_can_be_locked_again();
}

Test(lock_client, idle_lock_lost_while_it_is_taken)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[0].owners[1];
    for (int mode = 0; mode < 2; mode++) {
        seats[0].losses = 0;
        lock(a, 1, mode, true);
        quiet();
        unlock(a, true);
        lock(b, 1, mode, true);
        test_loop_run(loop);
        cr_assert_eq(b->mode, mode);
        force(&seats[0], 0, 1);
        cr_assert_eq(b->mode, -1);
        cr_assert_eq(seats[0].losses, 1u);
        all_can_be_locked_again();
        unlock(&seats[1].owners[1], true);
        quiet();
    }
}

/* Two threads of a process: the server has granted the second LOCK before it unlocked. */
Test(lock_client, lock_granted_before_the_unlocking_is_not_taken_for_held)
{
    struct owner *a = &seats[0].owners[0], *remote = &seats[1].owners[0];
    lock(a, 1, 1, true);
    quiet();
    lock(a, 1, 1, true);
    unlock(a, false);
    quiet();
    unlock(a, false);
    lock(remote, 1, 1, true);
    quiet();
    cr_assert_eq(remote->mode, 1);
    lock(&seats[0].owners[1], 1, 1, false);
    quiet();
    cr_assert_eq(seats[0].owners[1].mode, -1);
}

/* It would be taken for the use of the new lock, which nobody could get any more once it is idle.
 */
Test(lock_client, recall_that_crosses_the_unlocking_says_nothing_of_the_next_lock)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[1].owners[0], *c = &seats[1].owners[1];
    lock(a, 1, 1, true);
    quiet();
    lock(b, 1, 0, true);
    serve(&seats[1]);
    unlock(a, true);
    lock(a, 1, 0, true);
    hear(&seats[0]);
    quiet();
    cr_assert_eq(a->mode, 0);
    cr_assert_eq(b->mode, 0);
    unlock(a, false);
    unlock(b, true);
    lock(c, 1, 1, true);
    quiet();
    cr_assert_eq(c->mode, 1);
}

/* When the server is started anew meanwhile, the unlocking comes behind what is declared. */
Test(lock_client, idle_lock_is_not_taken_by_who_is_unlocking)
{
    struct owner *a = &seats[0].owners[0], *b = &seats[0].owners[1];
    lock(b, 3, 1, true);
    quiet();
    lock(b, 1, 0, true);
    lock(a, 1, 0, true);
    quiet();
    unlock(a, false);
    cr_assert_eq(lock_client_stats(seats[0].client)->idle, 1u);
    unlock(b, false);
    lock(b, 1, 0, true);
    quiet();
    cr_assert_eq(b->mode, 0);
    cr_assert_eq(lock_client_stats(seats[0].client)->local, 0u);
}

static void not_any_more(void *cookie, int error)
{
    cr_assert(false, "told after the end");
}

/* What was granted and unlocked here is about to be told when all of it ends. */
Test(lock_client, nothing_is_told_after_the_end)
{
    struct seat *s = &seats[0];
    struct owner *a = &s->owners[0], *b = &s->owners[1], *c = &s->owners[2];
    struct call_lock_item item = {.name = key_slice(&names[3])};
    lock(a, 1, 1, true);
    lock(c, 3, 1, true);
    quiet();
    unlock(a, false);
    lock(b, 1, 1, true);
    lock_client_unlock(s->client, (uint64_t)c->index, &item, 1, not_any_more, NULL);
    lock_client_free(s->client);
    s->client = NULL;
    test_loop_run(loop);
    cr_assert_eq(b->mode, -1);
    cr_assert(b->call);
}

static void random_owner(void)
{
    struct owner *o = &seats[random_below(SEATS)].owners[random_below(OWNERS)];
    if (o->call) {
        if (random_below(8) == 0)
            lock_client_cancel(o->seat->client, o->call);
    } else if (o->mode < 0) {
        lock(o, (int)random_below(NAMES), (int)random_below(3) > 0, random_below(4) > 0);
    } else {
        unlock(o, random_below(2));
    }
}

Test(lock_client, random_owners_exclude_each_other_and_all_get_on)
{
    for (int i = 0; i < 100000; i++) {
        uint32_t r = random_below(6);
        if (r < 2)
            random_owner();
        else if (r == 2)
            test_loop_advance(loop, 0);
        else
            one_step(&seats[random_below(SEATS)], r & 1);
    }
    /* At the end each lets go, and so everyone who waits gets his. */
    for (int round = 0; round < SEATS * OWNERS + 1; round++) {
        quiet();
        for (int i = 0; i < SEATS * OWNERS; i++) {
            struct owner *o = &seats[i / OWNERS].owners[i % OWNERS];
            if (o->mode >= 0)
                unlock(o, true);
        }
    }
    quiet();
    for (int i = 0; i < SEATS * OWNERS; i++)
        cr_assert(!seats[i / OWNERS].owners[i % OWNERS].call, "somebody waits for ever");
    cr_assert_gt(grants, 2000u, "%u", grants);
    cr_assert_gt(refusals, 100u, "%u", refusals);
    for (int i = 0; i < SEATS; i++) {
        cr_assert_gt(lock_client_stats(seats[i].client)->local, 20u);
        cr_assert_gt(lock_client_stats(seats[i].client)->passed, 20u);
    }
}
