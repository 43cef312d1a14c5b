/* SPDX-License-Identifier: Apache-2.0 */
/* The world of tests of what clients remember of their locks: what the layer calls, and a server.
 */
#include <stdlib.h>
#include "tests/unit/test_lock_held_util.h"

struct lock_table *table;
struct seat seats[SEATS];
struct key names[NAMES];
struct call *calls[CALLS];
size_t call_count;
unsigned waits, failures, drops;
int claims_left = -1;
uint64_t failed_owner;
const uint8_t group[LOCK_GROUP_LEN] = {7};

uint64_t process_of(uint64_t owner)
{
    return owner / 2;
}

struct call *call_new(struct seat *s, enum kind kind, uint64_t owner)
{
    struct call *c = calloc(1, sizeof *c);

    cr_assert_lt(call_count, (size_t)CALLS);
    calls[call_count++] = c;
    c->seat = s;
    c->kind = kind;
    c->owner = owner;
    return c;
}

void push(struct queue *q, struct call *c)
{
    q->calls[q->tail++ % QUEUE] = c;
    cr_assert_lt(q->tail - q->head, (size_t)QUEUE);
}

int name_index(struct slice name)
{
    int n = 0;

    while (!slice_equal(key_slice(&names[n]), name))
        cr_assert_lt(++n, NAMES);
    return n;
}

/* ---- What the layer calls ---- */

static void set_items(struct call *c, const struct call_lock_item *items, size_t count)
{
    struct call_lock_item *to = c->items;

    c->count = count;
    if (count > ITEMS)
        to = c->many = calloc(count, sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i] = items[i];
        to[i].name = key_slice(&names[name_index(items[i].name)]);
    }
}

static void *up_lock(void *cookie, const struct call_lock_args *args, call_lock_fn *done,
                     void *done_cookie)
{
    struct call *c = call_new(cookie, LOCK, args->who.owner);

    cr_assert_eq(args->who.group != NULL, args->who.owner < GROUPED);
    cr_assert_eq(args->who.process, process_of(args->who.owner));
    cr_assert(slice_equal(args->who.text, slice_str("someone")));
    cr_assert(!args->replace);
    set_items(c, args->items, args->count);
    c->wait = args->wait;
    c->delegable = args->delegable;
    c->claim = args->reclaim;
    c->locked = done;
    c->cookie = done_cookie;
    push(&c->seat->to_server, c);
    return c;
}

static void up_unlock(void *cookie, uint64_t owner, const struct call_lock_item *items,
                      size_t count, call_done_fn *done, void *done_cookie)
{
    struct call *c = call_new(cookie, UNLOCK, owner);

    set_items(c, items, count);
    c->unlocked = done;
    c->cookie = done_cookie;
    push(&c->seat->to_server, c);
}

static void up_cancel(void *cookie, void *call)
{
    struct call *c = call_new(cookie, CANCEL, 0);

    c->other = call;
    push(&c->seat->to_server, c);
}

static void up_pass(void *cookie, uint64_t from, struct slice name, bool delegable,
                    const struct call_lock_who *to)
{
    struct call *c = call_new(cookie, PASS, from);

    c->to = to->owner;
    c->delegable = delegable;
    key_copy(&c->name, name);
    push(&c->seat->to_server, c);
}

static void drop(void *cookie, void *call)
{
    struct call *c = call;

    (void)cookie;
    cr_assert(!c->gone);
    c->gone = true;
    drops++;
}

void model_forget(struct seat *s, uint64_t owner, int n)
{
    s->model.count[owner][n][0] = s->model.count[owner][n][1] = 0;
    memset(s->model.mode[owner][n], -1, sizeof s->model.mode[owner][n]);
}

static void failed(void *cookie, uint64_t owner, struct slice name)
{
    struct seat *s = cookie;

    failures++;
    failed_owner = owner;
    model_forget(s, owner, name_index(name));
}

/* ---- The server ---- */

const struct call_lock_item *items_of(const struct call *c)
{
    return c->many ? c->many : c->items;
}

static void answer(struct call *c, int error)
{
    c->error = error;
    c->request = NULL;
    push(&c->seat->to_client, c);
}

void serve_events(void)
{
    struct lock_event e;

    while (lock_next_event(table, &e))
        if (e.kind != LOCK_EVENT_RECALL)
            answer(e.cookie, e.kind == LOCK_EVENT_GRANTED ? 0
                             : e.kind == LOCK_EVENT_BUSY  ? ECP_EBUSY
                                                          : ECP_EDEADLOCK);
}

static struct lock_item *table_items(const struct call *c)
{
    struct lock_item *items = calloc(c->count + 1, sizeof *items);

    for (size_t i = 0; i < c->count; i++) {
        const struct call_lock_item *from = &items_of(c)[i];

        items[i] = (struct lock_item){.name = from->name,
                                      .mode = from->exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED,
                                      .counted = from->counted,
                                      .start = from->start,
                                      .end = from->end ? from->end : LOCK_RANGE_END};
    }
    return items;
}

static bool refuses(const struct call *c)
{
    if (!c->claim || claims_left < 0)
        return false;
    return claims_left == 0 || claims_left-- == 0;
}

static void serve_lock(struct call *c)
{
    struct lock_who who = {.owner = c->owner,
                           .group = c->owner < GROUPED ? group : NULL,
                           .process = process_of(c->owner),
                           .text = slice_str("someone")};
    struct lock_item *items = table_items(c);
    unsigned flags = (c->wait ? LOCK_WAIT : 0) | (c->delegable ? LOCK_DELEGABLE : 0);
    int error = refuses(c)
                    ? ECP_ELOCKFULL
                    : lock_ask(c->seat->session, &who, items, c->count, flags, 0, c, &c->request);

    free(items);
    cr_assert(!c->claim || claims_left >= 0 || (!error && !c->request),
              "what is declared conflicts with what others declare");
    waits += c->request != NULL;
    if (error || !c->request)
        answer(c, error);
}

static void serve(struct seat *s)
{
    struct call *c = s->to_server.calls[s->to_server.head++ % QUEUE];
    struct lock_who to = {.owner = c->to,
                          .group = c->to < GROUPED ? group : NULL,
                          .process = process_of(c->to),
                          .text = slice_str("someone")};
    struct lock_item *items;
    void *ended = NULL;

    if (c->kind == LOCK && !c->gone) {
        serve_lock(c);
    } else if (c->kind == UNLOCK) {
        items = table_items(c);
        c->count ? lock_release(s->session, c->owner, items, c->count)
                 : lock_release_owner(s->session, c->owner);
        free(items);
        answer(c, 0);
    } else if (c->kind == CANCEL && c->other->request) {
        lock_cancel(c->other->request);
        answer(c->other, ECP_ECANCELED);
    } else if (c->kind == PASS) {
        enum lock_pass_end end =
            lock_pass(s->session, c->owner, &to, key_slice(&c->name), c->delegable, &ended);
        cr_assert(end == LOCK_PASSED || claims_left >= 0,
                  "the server does not know the lock that is passed");
        if (ended)
            answer(ended, end == LOCK_PASSED ? 0 : ECP_ECANCELED);
    }
    serve_events();
}

static void hear(struct seat *s)
{
    struct call *c = s->to_client.calls[s->to_client.head++ % QUEUE];

    if (c->gone)
        return;
    c->gone = true;
    if (c->kind == LOCK)
        c->locked(c->cookie, c->error, 1);
    else
        c->unlocked(c->cookie, c->error);
}

bool one_step(struct seat *s, bool client)
{
    struct queue *q = client ? &s->to_client : &s->to_server;

    if (q->head == q->tail)
        return false;
    client ? hear(s) : serve(s);
    return true;
}

void quiet(void)
{
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < SEATS; i++)
            more |= (int)one_step(&seats[i], false) | (int)one_step(&seats[i], true);
    }
}

/* ---- What is held: by the table, and by the model ---- */

void nothing(struct holding *h)
{
    memset(h, 0, sizeof *h);
    memset(h->mode, -1, sizeof h->mode);
}

bool in_unit(uint64_t start, uint64_t end, int u)
{
    return (uint64_t)u * 10 >= start && (uint64_t)u * 10 < (end ? end : LOCK_RANGE_END);
}

static bool note_row(void *cookie, const struct lock_row *row)
{
    struct holding *all = cookie;
    struct holding *h = &all[(struct seat *)lock_session_cookie(row->session) - seats];
    int n = name_index(row->name);

    if (row->waiting)
        return true;
    cr_assert(slice_equal(row->text, slice_str("someone")));
    h->delegable[row->owner][n] = row->delegable;
    if (row->counted)
        h->count[row->owner][n][row->mode] = (int)row->count;
    for (int u = 0; u < UNITS && !row->counted; u++)
        if (in_unit(row->start, row->end, u))
            h->mode[row->owner][n][u] = (int)row->mode;
    return true;
}

void snapshot(struct holding *all)
{
    for (int i = 0; i < SEATS; i++)
        nothing(&all[i]);
    lock_list(table, slice_of(NULL, 0), note_row, all);
}

bool holds(const struct holding *h, uint64_t o, int n)
{
    bool any = h->count[o][n][0] || h->count[o][n][1];

    for (int u = 0; u < UNITS; u++)
        any |= h->mode[o][n][u] >= 0;
    return any;
}

void check_owner(const struct holding *a, const struct holding *b, uint64_t o)
{
    cr_assert(!memcmp(a->mode[o], b->mode[o], sizeof a->mode[o]), "ranges of an owner differ");
    cr_assert(!memcmp(a->count[o], b->count[o], sizeof a->count[o]), "counts of an owner differ");
    for (int n = 0; n < NAMES; n++)
        cr_assert(!holds(a, o, n) || !a->delegable[o][n] == !b->delegable[o][n],
                  "what may be kept differs");
}

/* ---- Life ---- */

void session_new(struct seat *s)
{
    s->session = lock_session_new(table, s);
}

void setup(void)
{
    table = lock_table_new(NULL);
    lock_names(names);
    for (int i = 0; i < SEATS; i++) {
        struct seat *s = &seats[i];
        struct lock_held_config config = {.below = {.lock = up_lock,
                                                    .cancel = up_cancel,
                                                    .unlock = up_unlock,
                                                    .pass = up_pass,
                                                    .cookie = s},
                                          .drop = drop,
                                          .failed = failed};

        s->held = lock_held_new(&config);
        s->up = lock_held_upstream(s->held);
        session_new(s);
        nothing(&s->model);
    }
}

void teardown(void)
{
    for (int i = 0; i < SEATS; i++)
        lock_held_free(seats[i].held);
    lock_table_free(table);
    while (call_count) {
        free(calls[--call_count]->many);
        free(calls[call_count]);
    }
}
