/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of a session, and the locks that it keeps. */
#include "locks/lock_client_int.h"

#include <stdlib.h>

static int kept_compare(const struct kept *a, const struct kept *b)
{
    int c = slice_compare(slice_of(a->name, a->len), slice_of(b->name, b->len));

    return c ? c : (a->label->id > b->label->id) - (a->label->id < b->label->id);
}

static int client_owner_compare(const struct client_owner *a, const struct client_owner *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

RB_GENERATE_INTERNAL(kept_tree, kept, tree, kept_compare, CLIENT_TREE)
RB_GENERATE_INTERNAL(owner_tree, client_owner, tree, client_owner_compare, CLIENT_TREE)

/* ---- Owners ---- */

struct client_owner *client_owner_find(struct lock_client *c, uint64_t id)
{
    struct client_owner key = {.id = id};

    return RB_FIND(owner_tree, &c->owners, &key);
}

struct client_owner *client_owner_get(struct lock_client *c, uint64_t id)
{
    struct client_owner *o = client_owner_find(c, id);

    if (o)
        return o;
    o = xcalloc(1, sizeof(*o));
    o->id = id;
    RB_INSERT(owner_tree, &c->owners, o);
    return o;
}

void client_owner_check(struct lock_client *c, struct client_owner *o)
{
    if (o->held || o->calls || o->unlocks || o->plain || o->idle)
        return;
    RB_REMOVE(owner_tree, &c->owners, o);
    free(o);
}

/* ---- Kept locks ---- */

struct kept *kept_first(struct lock_client *c, struct slice name)
{
    struct kept *k = RB_ROOT(&c->kept), *found = NULL;

    while (k) {
        int order = slice_compare(name, kept_name(k));

        if (order == 0)
            found = k;
        k = order <= 0 ? RB_LEFT(k, tree) : RB_RIGHT(k, tree);
    }
    return found;
}

struct kept *kept_find(struct lock_client *c, uint64_t label, struct slice name)
{
    struct kept *k = kept_first(c, name);

    while (k && slice_equal(kept_name(k), name) && k->label->id != label)
        k = RB_NEXT(kept_tree, &c->kept, k);
    return k && slice_equal(kept_name(k), name) ? k : NULL;
}

void kept_end_idle(struct lock_client *c, struct kept *k)
{
    TAILQ_REMOVE(&c->idle, k, idle);
    c->stats.idle--;
    k->is_idle = false;
    k->label->idle = NULL;
}

void kept_use(struct kept *k)
{
    k->label->held++;
    LIST_INSERT_HEAD(&k->label->kept, k, of_owner);
}

void kept_unuse(struct kept *k)
{
    k->label->held--;
    LIST_REMOVE(k, of_owner);
}

void kept_drop(struct lock_client *c, struct kept *k)
{
    struct client_owner *o = k->label;

    if (k->is_idle)
        kept_end_idle(c, k);
    else
        kept_unuse(k);
    RB_REMOVE(kept_tree, &c->kept, k);
    c->stats.held--;
    free(k);
    client_owner_check(c, o);
}

void kept_unlock(struct lock_client *c, const struct kept *k, call_done_fn *done, void *cookie)
{
    struct call_lock_item item = {.name = kept_name(k)};

    client_unlock(c, k->label, &item, 1, done, cookie);
}

void kept_give_back(struct lock_client *c, struct kept *k)
{
    kept_unlock(c, k, NULL, NULL);
    kept_drop(c, k);
}

void kept_make_idle(struct lock_client *c, struct kept *k)
{
    kept_unuse(k);
    k->is_idle = true;
    k->label->idle = k;
    TAILQ_INSERT_TAIL(&c->idle, k, idle);
    if (++c->stats.idle > LOCK_CLIENT_IDLE)
        kept_give_back(c, TAILQ_FIRST(&c->idle));
}

void kept_relabel(struct lock_client *c, struct kept *k, struct client_owner *to)
{
    RB_REMOVE(kept_tree, &c->kept, k);
    k->label = to;
    RB_INSERT(kept_tree, &c->kept, k);
    kept_use(k);
    k->stamp++;
}

void kept_split(struct lock_client *c, uint64_t owner, struct slice name)
{
    struct kept *k = kept_find(c, owner, name);

    if (!k || k->is_idle)
        return;
    k->label->plain = true;
    kept_drop(c, k);
}

void client_owner_clear(struct lock_client *c, struct client_owner *o)
{
    if (o->idle)
        kept_unlock(c, o->idle, NULL, NULL);
    if (o->idle) {
        o->calls++; /* stays */
        kept_drop(c, o->idle);
        o->calls--;
    }
}
