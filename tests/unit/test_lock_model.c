/* SPDX-License-Identifier: Apache-2.0 */
/* The lock table against a naive model of its rules, with random operations on few names. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "locks/lock_table.h"
#include "tests/unit/base_random.h"

#define OWNERS   7
#define SESSIONS 3
#define UNITS    6 /* of range; the last has no end */
#define WAITING  12
#define ITEMS    3
#define STEPS    150000

struct mitem {
    int name, mode, from, to; /* units */
    bool counted;
};

struct mrequest {
    int owner;
    struct mitem items[ITEMS];
    int count;
    struct lock_request *request;
    bool ended; /* by the model, the table's event is to come */
    bool seen;
};

static struct lock_table *table;
static struct lock_session *sessions[SESSIONS];
static struct key names[16];
static int name_count;
static int mcount[OWNERS][16][2];
static int mrange[OWNERS][16][UNITS]; /* mode, or -1 */
static struct mrequest *queue[WAITING];
static int waiting;
static unsigned grants, waits, deadlocks, busy;

static int session_of(int owner)
{
    return owner % SESSIONS;
}

/* The first two owners are of one group. */
static int group_of(int owner)
{
    return owner == 1 ? 0 : owner;
}

static const uint8_t shared_group[LOCK_GROUP_LEN] = {1, 2, 3};

static struct lock_who who(int owner)
{
    return (struct lock_who){.owner = (uint64_t)owner * 7,
                             .group = owner < 2 ? shared_group : NULL,
                             .text = slice_str("someone")};
}

static bool related(int a, int b)
{
    return slice_has_prefix(key_slice(&names[a]), key_slice(&names[b])) ||
           slice_has_prefix(key_slice(&names[b]), key_slice(&names[a]));
}

static bool modes(int a, int b)
{
    return a >= 0 && b >= 0 && (a || b);
}

static bool hold_conflicts(int owner, const struct mitem *i)
{
    for (int n = 0; n < name_count; n++) {
        if (!related(n, i->name))
            continue;
        for (int m = 0; m < 2; m++)
            if (mcount[owner][n][m] && modes(m, i->mode))
                return true;
        for (int u = 0; u < UNITS; u++)
            if ((n != i->name || (u >= i->from && u < i->to)) &&
                modes(mrange[owner][n][u], i->mode))
                return true;
    }
    return false;
}

static bool group_conflicts(int group, const struct mitem *i)
{
    for (int o = 0; o < OWNERS; o++)
        if (group_of(o) == group && hold_conflicts(o, i))
            return true;
    return false;
}

static bool holds(int owner, int n)
{
    bool any = mcount[owner][n][0] || mcount[owner][n][1];

    for (int u = 0; u < UNITS; u++)
        any |= mrange[owner][n][u] >= 0;
    return any;
}

static bool group_covers(int group, int name)
{
    for (int o = 0; o < OWNERS; o++)
        for (int n = 0; n < name_count; n++)
            if (group_of(o) == group && holds(o, n) &&
                slice_has_prefix(key_slice(&names[name]), key_slice(&names[n])))
                return true;
    return false;
}

static bool keeps_back(const struct mrequest *earlier, const struct mrequest *r,
                       const struct mitem *i)
{
    int group = group_of(r->owner);
    bool hit = false;

    if (group_of(earlier->owner) == group || group_covers(group, i->name))
        return false;
    for (int j = 0; j < earlier->count; j++) {
        const struct mitem *e = &earlier->items[j];

        if (group_conflicts(group, e))
            return false;
        hit |= related(e->name, i->name) && modes(e->mode, i->mode) &&
               (e->name != i->name || (e->from < i->to && i->from < e->to));
    }
    return hit;
}

static bool blocked(const struct mrequest *r, int place)
{
    for (int k = 0; k < r->count; k++) {
        for (int o = 0; o < OWNERS; o++)
            if (group_of(o) != group_of(r->owner) && hold_conflicts(o, &r->items[k]))
                return true;
        for (int q = 0; q < place; q++)
            if (keeps_back(queue[q], r, &r->items[k]))
                return true;
    }
    return false;
}

/* Whether the request at this place of the queue waits, directly or not, for the group. */
static bool waits_for(int place, int group)
{
    struct mrequest *r = queue[place];

    if (r->seen)
        return false;
    r->seen = true;
    for (int k = 0; k < r->count; k++) {
        for (int o = 0; o < OWNERS; o++) {
            if (group_of(o) == group_of(r->owner) || !group_conflicts(group_of(o), &r->items[k]))
                continue;
            for (int q = 0; q < waiting; q++)
                if (group_of(queue[q]->owner) == group_of(o) &&
                    (group_of(o) == group || waits_for(q, group)))
                    return true;
        }
        for (int q = 0; q < place; q++)
            if (keeps_back(queue[q], r, &r->items[k]) &&
                (group_of(queue[q]->owner) == group || waits_for(q, group)))
                return true;
    }
    return false;
}

static bool deadlock(int place)
{
    for (int q = 0; q < waiting; q++)
        queue[q]->seen = false;
    return waits_for(place, group_of(queue[place]->owner));
}

static void give(const struct mrequest *r)
{
    for (int k = 0; k < r->count; k++) {
        const struct mitem *i = &r->items[k];

        if (i->counted)
            mcount[r->owner][i->name][i->mode]++;
        else
            for (int u = i->from; u < i->to; u++)
                mrange[r->owner][i->name][u] = i->mode;
    }
    grants++;
}

static void queue_remove(int place)
{
    waiting--;
    for (int q = place; q < waiting; q++)
        queue[q] = queue[q + 1];
}

/* Grants what the rules grant now; then the table must have said the same, in the same order. */
static void settle(void)
{
    struct lock_event event;

    for (int q = 0; q < waiting;) {
        if (blocked(queue[q], q)) {
            q++;
            continue;
        }
        struct mrequest *r = queue[q];

        give(r);
        queue_remove(q);
        cr_assert(lock_next_event(table, &event), "a request is left waiting");
        cr_assert_eq(event.kind, LOCK_EVENT_GRANTED);
        cr_assert_eq(event.cookie, r, "another request was granted");
        free(r);
        q = 0;
    }
    cr_assert(!lock_next_event(table, &event), "a request was granted that must wait");
}

static struct lock_item item_of(const struct mitem *i)
{
    return (struct lock_item){.name = key_slice(&names[i->name]),
                              .mode = (enum lock_mode)i->mode,
                              .counted = i->counted,
                              .start = (uint64_t)i->from * 10,
                              .end = i->to == UNITS ? LOCK_RANGE_END : (uint64_t)i->to * 10};
}

static void random_item(struct mitem *i)
{
    *i = (struct mitem){.name = (int)random_below((uint32_t)name_count),
                        .mode = (int)random_below(2),
                        .counted = random_below(2),
                        .to = UNITS};
    if (!i->counted && random_below(3)) {
        i->from = (int)random_below(UNITS);
        i->to = i->from + 1 + (int)random_below((uint32_t)(UNITS - i->from));
    }
}

static void ask(void)
{
    struct mrequest *r = calloc(1, sizeof *r);
    struct lock_item items[ITEMS];
    struct lock_request *request;
    bool wait = random_below(4), must_wait, circle = false;
    int error;

    r->owner = (int)random_below(OWNERS);
    r->count = random_below(4) ? 1 : 1 + (int)random_below(ITEMS);
    for (int k = 0; k < r->count; k++) {
        random_item(&r->items[k]);
        items[k] = item_of(&r->items[k]);
    }
    if (waiting == WAITING)
        wait = false;
    must_wait = blocked(r, waiting);
    if (must_wait && wait) {
        queue[waiting++] = r;
        circle = deadlock(waiting - 1);
        waiting -= circle;
    }
    struct lock_who w = who(r->owner);
    error = lock_ask(sessions[session_of(r->owner)], &w, items, (size_t)r->count,
                     wait ? LOCK_WAIT : 0, 5, r, &request);
    cr_assert_eq(error,
                 !must_wait ? 0
                 : !wait    ? ECP_EBUSY
                 : circle   ? ECP_EDEADLOCK
                            : 0,
                 "%s: must wait %d, wait %d, circle %d", error_name(error), must_wait, wait,
                 circle);
    cr_assert_eq(request != NULL, must_wait && wait && !circle);
    r->request = request;
    if (!must_wait)
        give(r);
    waits += request != NULL;
    deadlocks += circle;
    busy += error == ECP_EBUSY;
    if (!request)
        free(r);
}

static void release(void)
{
    struct mitem i;
    int owner = (int)random_below(OWNERS);

    random_item(&i);
    if (i.counted && mcount[owner][i.name][i.mode])
        mcount[owner][i.name][i.mode]--;
    for (int u = i.from; u < i.to && !i.counted; u++)
        mrange[owner][i.name][u] = -1;
    struct lock_item item = item_of(&i);
    lock_release(sessions[session_of(owner)], (uint64_t)owner * 7, &item, 1);
}

static void forget(int owner)
{
    memset(mcount[owner], 0, sizeof mcount[owner]);
    memset(mrange[owner], -1, sizeof mrange[owner]);
}

static void end_session(int s)
{
    for (int o = 0; o < OWNERS; o++)
        if (session_of(o) == s)
            forget(o);
    for (int q = waiting; q-- > 0;) {
        if (session_of(queue[q]->owner) != s)
            continue;
        free(queue[q]);
        queue_remove(q);
    }
    lock_session_free(sessions[s]);
    sessions[s] = lock_session_new(table, NULL);
}

static void cancel(void)
{
    int q = waiting ? (int)random_below((uint32_t)waiting) : -1;

    if (q < 0)
        return;
    lock_cancel(queue[q]->request);
    free(queue[q]);
    queue_remove(q);
}

struct tally {
    int counts, ranges, waiting;
};

static bool tally_row(void *cookie, const struct lock_row *row)
{
    struct tally *t = cookie;
    int owner = (int)(row->owner / 7), n = 0;

    while (n < name_count && !slice_equal(key_slice(&names[n]), row->name))
        n++;
    cr_assert_lt(n, name_count);
    cr_assert(slice_equal(row->text, slice_str("someone")));
    if (row->waiting) {
        t->waiting++;
    } else if (row->counted) {
        cr_assert_eq(mcount[owner][n][row->mode], (int)row->count);
        t->counts++;
    } else {
        for (int u = 0; u < UNITS; u++)
            if ((uint64_t)u * 10 >= row->start && (uint64_t)u * 10 < row->end)
                cr_assert_eq(mrange[owner][n][u], (int)row->mode);
        cr_assert(row->start == 0 || mrange[owner][n][row->start / 10 - 1] != (int)row->mode,
                  "neighbours of one mode are not merged");
        t->ranges++;
    }
    return true;
}

static void check_list(void)
{
    struct tally t = {0}, want = {0};

    lock_list(table, slice_of(NULL, 0), tally_row, &t);
    for (int o = 0; o < OWNERS; o++)
        for (int n = 0; n < name_count; n++) {
            want.counts += (mcount[o][n][0] > 0) + (mcount[o][n][1] > 0);
            for (int u = 0; u < UNITS; u++)
                want.ranges +=
                    mrange[o][n][u] >= 0 && (u == 0 || mrange[o][n][u - 1] != mrange[o][n][u]);
        }
    for (int q = 0; q < waiting; q++)
        want.waiting += queue[q]->count;
    cr_assert_eq(t.counts, want.counts);
    cr_assert_eq(t.ranges, want.ranges);
    cr_assert_eq(t.waiting, want.waiting);
    cr_assert_eq(lock_table_stats(table)->locks, (size_t)(want.counts + want.ranges));
    cr_assert_eq(lock_table_stats(table)->items, (size_t)want.waiting);
}

static void add_name(const char *a, const char *b, const char *c)
{
    struct key *k = &names[name_count++];

    key_root(k);
    if (a)
        key_append(k, slice_str(a));
    if (b)
        key_append(k, slice_str(b));
    if (c)
        key_append(k, slice_str(c));
}

static void setup(void)
{
    struct lock_config config = {.seed = 99};

    table = lock_table_new(&config);
    for (int s = 0; s < SESSIONS; s++)
        sessions[s] = lock_session_new(table, NULL);
    memset(mrange, -1, sizeof mrange);
    add_name(NULL, NULL, NULL);
    add_name("A", NULL, NULL);
    add_name("AB", NULL, NULL);
    for (int i = 1; i < 3; i++) {
        add_name("A", i == 1 ? "1" : "2", NULL);
        add_name("A", i == 1 ? "1" : "2", "x");
        add_name("A", i == 1 ? "1" : "2", "y");
    }
}

/* Few locks leave room for what many would hide. */
static void end_all(void)
{
    for (int s = 0; s < SESSIONS; s++)
        end_session(s);
}

static void step(void)
{
    switch (random_below(20)) {
    case 0:
        cancel();
        break;
    case 1: {
        int owner = (int)random_below(OWNERS);
        forget(owner);
        lock_release_owner(sessions[session_of(owner)], (uint64_t)owner * 7);
        break;
    }
    case 2:
        if (random_below(4) == 0)
            end_session((int)random_below(SESSIONS));
        break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        release();
        break;
    default:
        ask();
    }
    settle();
    check_list();
}

Test(lock_model, random_operations, .timeout = 120)
{
    setup();
    for (int i = 0; i < STEPS; i++) {
        if (random_below(30) == 0)
            end_all();
        step();
    }
    cr_assert_gt(grants, 1000u);
    cr_assert_gt(waits, 500u);
    cr_assert_gt(deadlocks, 50u);
    cr_assert_gt(busy, 500u);
    for (int s = 0; s < SESSIONS; s++)
        lock_session_free(sessions[s]);
    while (waiting)
        free(queue[--waiting]);
    cr_assert_eq(lock_table_stats(table)->names, 0u);
    cr_assert_eq(lock_table_stats(table)->owners, 0u);
    lock_table_free(table);
}
