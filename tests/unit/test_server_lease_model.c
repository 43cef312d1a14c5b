/* SPDX-License-Identifier: Apache-2.0 */
/* The lease table against a naive model, with random grants, touches, answers and ends of leases.
 */
#include <criterion/criterion.h>

#include "base/log.h"
#include "server/lease.h"
#include "tests/unit/base_random.h"
#include "tests/unit/test_loop.h"

#define TERM    1000
#define SEATS   6
#define RECALLS 6
#define TOUCHES 4
#define PAGES   400
#define NOTICES 256
#define STEPS   20000

struct mpage {
    struct slice parent, first, last;
    bool to_end;
    uint64_t number;
    int seat; /* -1: free */
};

struct mnotice {
    bool out;
    int recall; /* -1: nothing waits for it */
    uint64_t serial, highest;
    struct touch touches[TOUCHES];
    size_t count;
};

/* A session, or (gone) what is left of one that was lost. */
struct mseat {
    struct lease_holder *holder;
    bool gone;
    uint64_t heard, id;
    struct mnotice notices[NOTICES];
    struct mnotice *fresh; /* sent during the call under test */
};

struct mrecall {
    struct lease_recall *recall; /* NULL: free */
    struct touch touches[TOUCHES];
    size_t count;
    int own;
    bool told; /* done was called */
};

static struct loop *loop;
static struct lease_table *table;
static struct key keys[27]; /* the root, globals, two levels of subscripts */
static size_t key_count;
static struct mpage mpages[PAGES];
static struct mseat seats[SEATS];
static struct mrecall recalls[RECALLS];
static uint64_t last_id, last_number;
static unsigned granted, refused, waits, lapses, own_told, overdues;

/* ---- The model ---- */

static bool hits(const struct touch *t, const struct mpage *p)
{
    return touch_hits_page(t, p->parent, p->first, p->last, p->to_end);
}

static bool seat_hit(int seat, const struct touch *t)
{
    for (int i = 0; i < PAGES; i++)
        if (mpages[i].seat == seat && hits(t, &mpages[i]))
            return true;
    return false;
}

static void drop(int seat, struct slice below, uint64_t highest)
{
    for (int i = 0; i < PAGES; i++)
        if (mpages[i].seat == seat && mpages[i].number <= highest &&
            slice_has_prefix(mpages[i].parent, below))
            mpages[i].seat = -1;
}

static void forget_seat(int seat)
{
    drop(seat, slice_of(NULL, 0), UINT64_MAX);
    for (int i = 0; i < NOTICES; i++)
        seats[seat].notices[i].out = false;
    for (int i = 0; i < RECALLS; i++)
        if (recalls[i].own == seat)
            recalls[i].own = -1;
}

static bool waited_for(int recall)
{
    for (int s = 0; s < SEATS; s++)
        for (int i = 0; i < NOTICES; i++)
            if (seats[s].notices[i].out && seats[s].notices[i].recall == recall)
                return true;
    return false;
}

static struct mnotice *notice_new(int seat, int recall)
{
    struct mnotice *n = seats[seat].notices;

    while (n->out)
        cr_assert_lt(++n - seats[seat].notices, NOTICES);
    *n = (struct mnotice){.out = true, .recall = recall, .highest = last_number};
    return n;
}

/* ---- The table ---- */

static void sent(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct mseat *seat = cookie;

    cr_assert_null(seat->fresh, "one invalidation at a time");
    seat->fresh = notice_new((int)(seat - seats), -1);
    cr_assert_leq(count, TOUCHES);
    seat->fresh->serial = serial;
    seat->fresh->count = count;
    memcpy(seat->fresh->touches, touches, count * sizeof(*touches));
}

/* As a bad client's session, it is left to itself: it may still answer. */
static void overdue(void *cookie)
{
    overdues++;
}

static void sit(int seat)
{
    struct mseat *s = &seats[seat];

    s->id = ++last_id;
    s->gone = false;
    s->heard = loop_now(loop);
    s->holder = lease_holder_new(table, TERM, "a test", sent, overdue, s);
}

static void done(void *cookie)
{
    struct mrecall *r = cookie;

    cr_assert_not(r->told);
    r->told = true;
}

static void check(void)
{
    size_t count = 0;

    for (int i = 0; i < PAGES; i++)
        count += mpages[i].seat >= 0;
    cr_assert_eq(lease_table_stats(table)->pages, count);
    for (int i = 0; i < RECALLS; i++) {
        struct mrecall *r = &recalls[i];
        if (!r->recall)
            continue;
        cr_assert_eq(lease_recall_ready(r->recall), !waited_for(i));
        cr_assert(!r->told || lease_recall_ready(r->recall));
    }
}

/* ---- Steps ---- */

static struct slice any_key(void)
{
    return key_slice(&keys[random_below((uint32_t)key_count)]);
}

static struct slice any_level(struct slice parent)
{
    struct slice k;

    do
        k = any_key();
    while (k.len == 0 || !slice_equal(key_parent(k), parent));
    return key_last(k);
}

static void try_grant(int seat)
{
    struct mpage p = {.parent = any_key(), .to_end = random_below(3) == 0, .seat = seat};
    struct mpage *free_one = NULL;
    bool refuse = false;

    while (key_depth(p.parent) > 2)
        p.parent = key_parent(p.parent);
    p.first = random_below(3) ? any_level(p.parent) : slice_of(NULL, 0);
    do
        p.last = any_level(p.parent);
    while (slice_compare(p.last, p.first) < 0);
    for (int i = 0; i < RECALLS; i++)
        for (size_t k = 0; recalls[i].recall && k < recalls[i].count; k++)
            refuse |= hits(&recalls[i].touches[k], &p);
    for (int i = 0; i < PAGES; i++) {
        struct mpage *q = &mpages[i];
        if (q->seat < 0 || (q->seat == seat && slice_equal(q->parent, p.parent) &&
                            slice_equal(q->first, p.first) && q->to_end == p.to_end &&
                            (p.to_end || slice_equal(q->last, p.last))))
            if (!free_one || q->seat >= 0)
                free_one = q;
    }
    if (!free_one)
        return;
    p.number = lease_grant(seats[seat].holder, p.parent, p.first, p.last, p.to_end);
    cr_assert_eq(p.number == 0, refuse);
    if (refuse) {
        refused++;
        return;
    }
    cr_assert_gt(p.number, last_number);
    last_number = p.number;
    *free_one = p;
    granted++;
}

/* Touches of a recall: a key at most once, as the table joins them. */
static size_t any_touches(struct touch *touches, struct store_touch *given)
{
    size_t count = 0, wanted = 1 + random_below(TOUCHES);

    for (size_t i = 0; i < wanted; i++) {
        struct slice k = any_key();
        bool subtree = random_below(4) == 0;
        size_t at = 0;

        given[i] = (struct store_touch){.key = k, .subtree = subtree};
        while (at < count && !slice_equal(touches[at].key, k))
            at++;
        if (at == count)
            touches[count++] = (struct touch){.kind = TOUCH_ENTRY, .key = k};
        if (subtree)
            touches[at].kind = TOUCH_SUBTREE;
    }
    for (size_t i = wanted; i < TOUCHES; i++)
        given[i] = given[0];
    return count;
}

static bool same_touch(const struct touch *a, const struct touch *b)
{
    return a->kind == b->kind && slice_equal(a->key, b->key);
}

/* Exactly the touches that hit are sent to each seat but one. */
static void check_sent(int recall, int seat)
{
    struct mrecall *r = &recalls[recall];
    struct mseat *s = &seats[seat];
    size_t expected = 0;

    for (size_t i = 0; i < r->count; i++) {
        bool hit = seat_hit(seat, &r->touches[i]), told = false;
        expected += hit;
        for (size_t k = 0; s->fresh && k < s->fresh->count; k++)
            told |= same_touch(&s->fresh->touches[k], &r->touches[i]);
        cr_assert_eq(told, hit && !s->gone);
    }
    if (s->gone && expected)
        notice_new(seat, recall);
    if (!s->fresh)
        return;
    cr_assert_eq(s->fresh->count, expected);
    s->fresh->recall = recall;
    s->fresh = NULL;
}

static void start_recall(int i)
{
    struct mrecall *r = &recalls[i];
    struct store_touch given[TOUCHES];
    int own = (int)random_below(SEATS + 1) - 1;

    if (own >= 0 && seats[own].gone)
        own = -1;
    *r = (struct mrecall){.own = own};
    r->count = any_touches(r->touches, given);
    r->recall = lease_recall(table, own < 0 ? NULL : seats[own].holder, given, TOUCHES,
                             random_below(2), done, r);
    for (int s = 0; s < SEATS; s++) {
        if (s == own)
            cr_assert_null(seats[s].fresh);
        else
            check_sent(i, s);
    }
    waits += waited_for(i);
}

static void end_recall(int i)
{
    struct mrecall *r = &recalls[i];
    struct mseat *own = r->own < 0 ? NULL : &seats[r->own];
    const struct touch *touches = NULL;
    size_t expected = 0;

    if (lease_recall_ready(r->recall)) {
        size_t count = lease_recall_own(r->recall, &touches);
        for (size_t k = 0; own && k < r->count; k++)
            expected += seat_hit(r->own, &r->touches[k]);
        cr_assert_eq(count, expected);
        own_told += count > 0;
        if (own)
            own->fresh = NULL; /* its recall is none */
    }
    for (int s = 0; s < SEATS; s++)
        for (int n = 0; n < NOTICES; n++)
            if (seats[s].notices[n].recall == i)
                seats[s].notices[n].recall = -1;
    lease_recall_end(r->recall);
    r->recall = NULL;
}

static void answer(int seat)
{
    struct mnotice *n = &seats[seat].notices[random_below(NOTICES)];

    for (int i = 0; i < NOTICES && !n->out; i++)
        n = &seats[seat].notices[i];
    if (!n->out)
        return;
    n->out = false;
    for (size_t i = 0; i < n->count; i++)
        if (n->touches[i].kind == TOUCH_SUBTREE)
            drop(seat, n->touches[i].key, n->highest);
    cr_assert_eq(lease_answered(seats[seat].holder, n->serial), 0);
}

static void give_back(int seat)
{
    struct mpage *p = &mpages[random_below(PAGES)];

    if (p->seat < 0 || p->number == 0)
        return;
    lease_release(seats[seat].holder, p->number);
    if (p->seat == seat)
        p->seat = -1;
}

/* A session ends: for certain, or it is lost and its leases run on. */
static void leave(int seat)
{
    bool certain = random_below(2), any = false;

    for (int i = 0; i < PAGES; i++)
        any |= mpages[i].seat == seat;
    for (int i = 0; i < RECALLS; i++)
        if (recalls[i].own == seat)
            recalls[i].own = -1;
    if (certain || !any)
        forget_seat(seat);
    lease_holder_end(seats[seat].holder, certain);
    if (certain || !any)
        sit(seat);
    else
        seats[seat].gone = true;
}

/* Those whose lease is over begin anew, as their clients do. */
static void pass_time(void)
{
    test_loop_advance(loop, random_below(TERM / 4));
    for (int s = 0; s < SEATS; s++) {
        if (loop_now(loop) < seats[s].heard + TERM)
            continue;
        forget_seat(s);
        if (!seats[s].gone)
            lease_holder_end(seats[s].holder, true);
        sit(s);
        lapses++;
    }
}

static void step(void)
{
    int seat = (int)random_below(SEATS), recall = (int)random_below(RECALLS);
    uint32_t what = random_below(100);

    if (what < 10)
        recalls[recall].recall ? end_recall(recall) : start_recall(recall);
    else if (what < 13)
        pass_time();
    else if (seats[seat].gone)
        return;
    else if (what < 60)
        try_grant(seat);
    else if (what < 75)
        answer(seat);
    else if (what < 85)
        give_back(seat);
    else if (what < 99)
        lease_heard(seats[seat].holder, seats[seat].heard = loop_now(loop));
    else
        leave(seat);
}

static void make_keys(void)
{
    static const char *const globals[] = {"A", "AB"}, *const subscripts[] = {"1", "2", "x"};

    key_root(&keys[key_count++]);
    for (size_t at = 0; key_count < sizeof(keys) / sizeof(keys[0]); at++) {
        for (int i = 0; i < (at ? 3 : 2); i++) {
            struct key *k = &keys[key_count++];
            *k = keys[at];
            cr_assert_eq(key_append(k, slice_str(at ? subscripts[i] : globals[i])), 0);
        }
    }
}

Test(server_lease_model, random_holders_and_recalls)
{
    log_set_level(LOG_LEVEL_ERROR);
    loop = test_loop_new();
    table = lease_table_new(loop, NULL);
    make_keys();
    for (int i = 0; i < PAGES; i++)
        mpages[i].seat = -1;
    for (int s = 0; s < SEATS; s++)
        sit(s);
    for (int i = 0; i < STEPS; i++) {
        step();
        check();
    }
    cr_assert_gt(granted, STEPS / 10);
    cr_assert_gt(refused, STEPS / 100);
    cr_assert_gt(waits, STEPS / 200);
    cr_assert_gt(lapses, 20);
    cr_assert_gt(own_told, 20);
    cr_assert_gt(overdues, 20);
    for (int i = 0; i < RECALLS; i++)
        if (recalls[i].recall)
            lease_recall_end(recalls[i].recall);
    lease_table_free(table);
    test_loop_run(loop);
    test_loop_free(loop);
}
