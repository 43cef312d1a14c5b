/* SPDX-License-Identifier: Apache-2.0 */
/* A data server and the way to it: questions and answers wait until the test lets them go on. */
#include "tests/unit/fake_upstream.h"

#include <stdlib.h>

#include "base/buf.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/fake_tree.h"

#define TERM      (10 * LOOP_SEC)
#define MAX_PAGES 64

enum kind { READ, NODE, UPDATE, SPACE, INVALIDATE };

/* A question, then its answer; or an invalidation. */
struct upstream_call {
    enum kind kind;
    int error;
    bool canceled, unsent;
    void *cookie;
    union {
        upstream_pages_fn *pages;
        upstream_node_fn *node;
        upstream_update_fn *update;
        upstream_space_fn *space;
    } done;
    struct upstream_read read;
    struct slice key;
    uint32_t max_value;
    char *value;  /* UPDATE: NULL kills */
    bool present; /* UPDATE: fails unless there is a value */
    struct page pages[MAX_PAGES];
    size_t page_count;
    struct node node;
    uint64_t serial, stamp;
    struct touch *touches;
    size_t touch_count;
};

struct list {
    struct upstream_call **at;
    size_t count;
};

struct lease {
    uint64_t number;
    struct key parent, first, last;
    bool to_end;
};

/* An update of others that waits for answers. */
struct pending {
    uint64_t serial;
    struct slice key;
    char *value;
    bool take_back;
    struct touch *touches;
    size_t count;
};

struct fake {
    struct upstream up;
    struct fake_loop loop;
    struct fake_tree tree;
    struct list asked, sent;
    struct lease *leases;
    size_t lease_count;
    struct pending *pending;
    size_t pending_count;
    uint64_t last_lease, last_serial, lease_end;
    bool gap, off, no_leases;
    int fail;
    size_t bound, reads, nodes, trips;
    struct upstream_read last_read;
    struct key last_parent, last_from;
};

static struct fake *fake_of(struct upstream *up)
{
    return (struct fake *)up;
}

static struct slice copy(struct slice s)
{
    return slice_of(s.len ? xmemdup(s.data, s.len) : xcalloc(1, 1), s.len);
}

static void push(struct list *l, struct upstream_call *call)
{
    l->at = xrealloc(l->at, (l->count + 1) * sizeof(*l->at));
    l->at[l->count++] = call;
}

static struct upstream_call *take(struct list *l, size_t index)
{
    struct upstream_call *call = l->at[index];
    memmove(l->at + index, l->at + index + 1, (l->count - index - 1) * sizeof(*l->at));
    l->count--;
    return call;
}

static void free_touches(struct touch *touches, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)touches[i].key.data);
    free(touches);
}

static void free_call(struct upstream_call *call)
{
    for (size_t i = 0; i < call->page_count; i++)
        free(call->pages[i].entries);
    free_touches(call->touches, call->touch_count);
    free((void *)call->key.data);
    free((void *)call->read.from.data);
    free(call->value);
    free(call);
}

/* ---- Leases ---- */

static bool hits(const struct touch *t, const struct lease *l)
{
    return touch_hits_page(t, key_slice(&l->parent), key_slice(&l->first), key_slice(&l->last),
                           l->to_end);
}

static bool leased(const struct fake *f, const struct touch *touch)
{
    for (size_t i = 0; i < f->lease_count; i++)
        if (hits(touch, &f->leases[i]))
            return true;
    return false;
}

static void add_touch(struct touch **touches, size_t *count, uint8_t kind, struct slice key)
{
    *touches = xrealloc(*touches, (*count + 1) * sizeof(**touches));
    (*touches)[(*count)++] = (struct touch){.kind = kind, .key = copy(key)};
}

/* What an update changes: the node and, as far as is known here, all above. */
static void touches_of(struct slice key, const char *value, struct touch **touches, size_t *count)
{
    add_touch(touches, count, value ? TOUCH_ENTRY : TOUCH_SUBTREE, key);
    while (key.len) {
        key = key_parent(key);
        add_touch(touches, count, TOUCH_ENTRY, key);
    }
}

static bool in_flight(const struct fake *f, const struct lease *l)
{
    for (size_t i = 0; i < f->pending_count; i++)
        for (size_t k = 0; k < f->pending[i].count; k++)
            if (hits(&f->pending[i].touches[k], l))
                return true;
    return false;
}

static bool same_range(const struct lease *a, const struct lease *b)
{
    return a->to_end == b->to_end && slice_equal(key_slice(&a->parent), key_slice(&b->parent)) &&
           slice_equal(key_slice(&a->first), key_slice(&b->first)) &&
           (a->to_end || slice_equal(key_slice(&a->last), key_slice(&b->last)));
}

/* Of equal ranges only the newer lease is known. */
static uint64_t grant(struct fake *f, const struct page *p)
{
    struct lease l = {.to_end = p->to_end};

    key_copy(&l.parent, p->parent);
    key_copy(&l.first, p->first);
    if (p->count)
        key_copy(&l.last, p->entries[p->count - 1].sub);
    if (f->no_leases || in_flight(f, &l))
        return 0;
    l.number = ++f->last_lease;
    for (size_t i = 0; i < f->lease_count; i++) {
        if (same_range(&f->leases[i], &l)) {
            f->leases[i].number = l.number;
            return l.number;
        }
    }
    f->leases = xrealloc(f->leases, (f->lease_count + 1) * sizeof(l));
    f->leases[f->lease_count++] = l;
    return l.number;
}

static void drop_leases(struct fake *f, const struct touch *t)
{
    for (size_t i = f->lease_count; i > 0; i--)
        if (slice_equal(key_slice(&f->leases[i - 1].parent), t->key))
            f->leases[i - 1] = f->leases[--f->lease_count];
}

/* ---- The server ---- */

static struct node shown(struct node node, uint32_t max_value)
{
    if (node.value_len > max_value)
        node.value = slice_of(NULL, 0);
    return node;
}

static void fill_page(struct fake *f, struct upstream_call *c, struct slice parent,
                      struct slice from, bool after, size_t bound)
{
    struct page *p = &c->pages[c->page_count++];
    struct slice first = from;
    struct entry e;

    *p = (struct page){.parent = parent, .first = first};
    p->self = shown(fake_tree_node(&f->tree, parent, f->tree.version), 0);
    p->self.value = slice_of(NULL, 0);
    while (!(p->to_end = !fake_tree_child(&f->tree, parent, from, after, f->tree.version, &e)) &&
           (bound == 0 || p->count < bound)) {
        p->entries = xrealloc(p->entries, (p->count + 1) * sizeof(e));
        e.node = shown(e.node, c->read.max_value);
        p->entries[p->count++] = e;
        from = e.sub;
        after = true;
    }
    p->lease = c->read.lease ? grant(f, p) : 0;
}

static void read_ahead(struct fake *f, struct upstream_call *c)
{
    for (size_t i = 0; i < f->tree.count && c->page_count < MAX_PAGES; i++) {
        struct slice key = key_slice(f->tree.nodes[i].key);
        struct node node = fake_tree_node(&f->tree, key, f->tree.version);
        if (slice_compare(key, c->key) > 0 && node.flags & NODE_CHILDREN &&
            (c->read.onward || slice_has_prefix(key, c->key)))
            fill_page(f, c, key, slice_of(NULL, 0), false, 0);
    }
}

static void serve_read(struct fake *f, struct upstream_call *c)
{
    size_t bound = c->read.entries;

    if (f->bound && (bound == 0 || bound > f->bound))
        bound = f->bound;
    fill_page(f, c, c->key, c->read.from, c->read.after, bound);
    if (c->read.readahead)
        read_ahead(f, c);
}

/* Of the touches those that hit something leased. */
static void add_leased(struct fake *f, struct upstream_call *c, const struct touch *touches,
                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (leased(f, &touches[i]))
            add_touch(&c->touches, &c->touch_count, touches[i].kind, touches[i].key);
}

static void finish_pending(struct fake *f, size_t index)
{
    struct pending p = f->pending[index];

    memmove(f->pending + index, f->pending + index + 1, (f->pending_count - index - 1) * sizeof(p));
    f->pending_count--;
    if (p.take_back)
        drop_leases(f, &p.touches[0]);
    else
        fake_tree_update(&f->tree, p.key, p.value);
    free_touches(p.touches, p.count);
    free((void *)p.key.data);
    free(p.value);
}

static void begin(struct fake *f, struct pending p)
{
    struct upstream_call *c = xcalloc(1, sizeof(*c));

    c->kind = INVALIDATE;
    c->serial = p.serial = ++f->last_serial;
    f->pending = xrealloc(f->pending, (f->pending_count + 1) * sizeof(p));
    f->pending[f->pending_count++] = p;
    add_leased(f, c, p.touches, p.count);
    if (c->touch_count) {
        push(&f->sent, c);
    } else {
        finish_pending(f, f->pending_count - 1);
        free_call(c);
    }
}

void fake_update(struct fake *f, struct slice key, const char *value)
{
    struct pending p = {.key = copy(key), .value = value ? xstrdup(value) : NULL};

    touches_of(key, value, &p.touches, &p.count);
    begin(f, p);
}

void fake_take_back(struct fake *f, struct slice key)
{
    struct pending p = {.key = copy(key), .take_back = true};

    add_touch(&p.touches, &p.count, TOUCH_PAGES, key);
    begin(f, p);
}

/* Own pages are not recalled: the answer says what of them was changed. */
static void serve_update(struct fake *f, struct upstream_call *c)
{
    struct touch *touches = NULL;
    size_t count = 0;

    touches_of(c->key, c->value, &touches, &count);
    add_leased(f, c, touches, count);
    free_touches(touches, count);
    fake_tree_update(&f->tree, c->key, c->value);
    c->stamp = f->tree.version;
}

void fake_serve(struct fake *f, size_t index)
{
    struct upstream_call *c = take(&f->asked, index);

    c->error = f->fail;
    if (c->error)
        ;
    else if (c->kind == READ)
        serve_read(f, c);
    else if (c->kind == NODE)
        c->node = shown(fake_tree_node(&f->tree, c->key, f->tree.version), c->max_value);
    else if (c->kind == UPDATE && c->present &&
             !(fake_tree_node(&f->tree, c->key, f->tree.version).flags & NODE_VALUE))
        c->error = ECP_ESTALE;
    else if (c->kind == UPDATE)
        serve_update(f, c);
    push(&f->sent, c);
}

static void lose(struct fake *f)
{
    f->gap = false;
    f->up.events->lease_lost(f->up.cookie);
}

void fake_deliver(struct fake *f)
{
    struct upstream_call *c = take(&f->sent, 0);
    struct upstream_applied applied = {c->stamp, c->touches, c->touch_count};
    struct space space = {0};

    if (f->gap || (f->lease_end && f->lease_end <= f->loop.now))
        lose(f);
    f->lease_end = f->loop.now + TERM;
    if (c->canceled)
        ;
    else if (c->kind == READ)
        c->done.pages(c->cookie, c->error, c->pages, c->error ? 0 : c->page_count);
    else if (c->kind == NODE)
        c->done.node(c->cookie, c->error, c->error ? NULL : &c->node);
    else if (c->kind == UPDATE)
        c->done.update(c->cookie, c->error, c->error ? NULL : &applied);
    else if (c->kind == SPACE)
        c->done.space(c->cookie, c->error, &space);
    else
        f->up.events->invalidate(f->up.cookie, c->serial, c->touches, c->touch_count);
    free_call(c);
}

void fake_settle(struct fake *f)
{
    while (f->asked.count || f->sent.count) {
        if (f->asked.count)
            fake_serve(f, 0);
        else
            fake_deliver(f);
    }
}

void fake_gap(struct fake *f)
{
    if (f->lease_end > f->loop.now)
        fake_loop_advance(&f->loop, f->lease_end - f->loop.now);
    f->gap = true;
    f->lease_count = 0;
    while (f->pending_count)
        finish_pending(f, 0);
}

/* ---- The way there ---- */

static struct upstream_call *ask(struct upstream *up, enum kind kind, struct slice key,
                                 void *cookie)
{
    struct fake *f = fake_of(up);
    struct upstream_call *c = xcalloc(1, sizeof(*c));

    c->kind = kind;
    c->unsent = f->off;
    c->key = copy(key);
    c->cookie = cookie;
    push(&f->asked, c);
    f->trips++;
    return c;
}

static struct upstream_call *up_read(struct upstream *up, const struct upstream_read *args,
                                     upstream_pages_fn *done, void *cookie)
{
    struct upstream_call *c = ask(up, READ, args->parent, cookie);

    c->done.pages = done;
    c->read = *args;
    c->read.from = copy(args->from);
    fake_of(up)->last_read = *args;
    key_copy(&fake_of(up)->last_parent, args->parent);
    key_copy(&fake_of(up)->last_from, args->from);
    fake_of(up)->reads++;
    return c;
}

static struct upstream_call *up_node(struct upstream *up, struct slice key, uint32_t max_value,
                                     upstream_node_fn *done, void *cookie)
{
    struct upstream_call *c = ask(up, NODE, key, cookie);

    c->done.node = done;
    c->max_value = max_value;
    fake_of(up)->nodes++;
    return c;
}

static struct upstream_call *up_update(struct upstream *up, const struct update *u, size_t count,
                                       upstream_update_fn *done, void *cookie)
{
    struct upstream_call *c = ask(up, UPDATE, u->key, cookie);

    c->done.update = done;
    c->present = u->cond == COND_PRESENT;
    if (u->kind != UPDATE_KILL)
        c->value = xasprintf("%.*s", (int)u->value.len, (const char *)u->value.data);
    return c;
}

static struct upstream_call *up_space(struct upstream *up, upstream_space_fn *done, void *cookie)
{
    struct upstream_call *c = ask(up, SPACE, slice_of(NULL, 0), cookie);

    c->done.space = done;
    return c;
}

static void up_cancel(struct upstream *up, struct upstream_call *call)
{
    call->canceled = true;
}

static bool up_connected(struct upstream *up)
{
    return !fake_of(up)->off;
}

static uint64_t up_lease_end(struct upstream *up)
{
    return fake_of(up)->lease_end;
}

static void up_invalidated(struct upstream *up, uint64_t serial)
{
    struct fake *f = fake_of(up);

    for (size_t i = 0; i < f->pending_count; i++) {
        if (f->pending[i].serial == serial) {
            finish_pending(f, i);
            return;
        }
    }
}

static void up_release(struct upstream *up, const uint64_t *leases, size_t count)
{
    struct fake *f = fake_of(up);

    for (size_t i = 0; i < count; i++)
        for (size_t k = f->lease_count; k > 0; k--)
            if (f->leases[k - 1].number == leases[i])
                f->leases[k - 1] = f->leases[--f->lease_count];
}

static bool up_unsent(struct upstream *up, const struct upstream_call *call)
{
    return call->unsent;
}

static uint64_t up_round_trips(struct upstream *up)
{
    return fake_of(up)->trips;
}

static const struct upstream_ops ops = {
    .read = up_read,
    .node = up_node,
    .update = up_update,
    .space = up_space,
    .cancel = up_cancel,
    .unsent = up_unsent,
    .connected = up_connected,
    .lease_end = up_lease_end,
    .invalidated = up_invalidated,
    .release = up_release,
    .round_trips = up_round_trips,
};

/* ---- For the test ---- */

struct fake *fake_new(void)
{
    struct fake *f = xcalloc(1, sizeof(*f));

    f->up.ops = &ops;
    fake_loop_init(&f->loop);
    fake_tree_init(&f->tree);
    return f;
}

void fake_free(struct fake *f)
{
    while (f->asked.count)
        free_call(take(&f->asked, 0));
    while (f->sent.count)
        free_call(take(&f->sent, 0));
    fake_gap(f);
    free(f->asked.at);
    free(f->sent.at);
    free(f->leases);
    free(f->pending);
    fake_tree_free(&f->tree);
    free(f);
}

struct loop *fake_loop(struct fake *f)
{
    return &f->loop.loop;
}

struct upstream *fake_up(struct fake *f)
{
    return &f->up;
}

void fake_advance(struct fake *f, uint64_t ns)
{
    fake_loop_advance(&f->loop, ns);
}

size_t fake_asked(const struct fake *f)
{
    return f->asked.count;
}

size_t fake_sent(const struct fake *f)
{
    return f->sent.count;
}

void fake_fail(struct fake *f, int error)
{
    f->fail = error;
}

const struct upstream_read *fake_last_read(const struct fake *f)
{
    return &f->last_read;
}

size_t fake_reads(const struct fake *f)
{
    return f->reads;
}

size_t fake_nodes(const struct fake *f)
{
    return f->nodes;
}

void fake_disconnect(struct fake *f, bool off)
{
    f->off = off;
}

void fake_no_leases(struct fake *f, bool none)
{
    f->no_leases = none;
}

void fake_page_bound(struct fake *f, size_t entries)
{
    f->bound = entries;
}

size_t fake_version(const struct fake *f)
{
    return f->tree.version;
}

struct node fake_node(const struct fake *f, struct slice key, size_t version)
{
    return fake_tree_node(&f->tree, key, version);
}

bool fake_child(const struct fake *f, struct slice parent, struct slice from, bool after,
                size_t version, struct entry *child)
{
    return fake_tree_child(&f->tree, parent, from, after, version, child);
}

size_t fake_leases(const struct fake *f)
{
    return f->lease_count;
}

size_t fake_recalling(const struct fake *f)
{
    return f->pending_count;
}
