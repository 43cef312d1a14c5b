/* SPDX-License-Identifier: Apache-2.0 */
/* How much a load asks for: little for single look-ups, much for walks. */
#include "cache/cache_int.h"

#define KIB           1024u
#define LOOK_BUDGET   (4 * KIB)
#define LOOK_MAX      (64 * KIB)
#define LIST_BUDGET   (64 * KIB)
#define WALK_MAX      (256 * KIB)
#define ENTRY_BYTES   64   /* of an answer, about */
#define READAHEAD     1024 /* children of a directory */
#define HOLES_NEAR    32   /* entries between holes that are filled together */
#define LIST_AHEAD    1    /* listings in order, from which on children are read ahead */
#define LIST_ONWARD   3    /* and from which on what follows is */
#define LOOK_ONWARD   4    /* the same for parents of single look-ups */
#define LOOK_DOUBLING 4    /* times */

/* Counts how often in a row the next directory was beyond the one before. */
static unsigned walk_step(struct walk *walk, struct slice parent)
{
    int c = slice_compare(parent, key_slice(&walk->last));

    if (c > 0)
        walk->run++;
    else if (c < 0)
        walk->run = 0;
    if (c)
        key_copy(&walk->last, parent);
    return walk->run;
}

/* Whether the place is a hole that alone must be filled: what follows is known. */
static bool lone_hole(const struct cpage *p, struct place at)
{
    size_t hole = cpage_hole(p, at);
    size_t next = p->count;

    if (hole + 1 < p->hole_count)
        next = cpage_lower(p, place_at(p->holes[hole + 1]));
    else if (!p->to_end)
        return true;
    return next == p->count || next - cpage_lower(p, at) > HOLES_NEAR;
}

static const struct cpage *page_before(struct cache *c, struct slice parent, struct place at)
{
    struct dir *dir = table_dir(&c->table, parent, table_hash(parent));
    return dir ? dir_page_before(dir, at) : NULL;
}

/* Twice what the page before was loaded with, if most of that was of use. */
static uint32_t look_budget(const struct cpage *before)
{
    uint32_t budget = LOOK_BUDGET;

    if (before && before->budget && before->count && 2 * (uint64_t)before->hits >= before->count)
        budget = 2 * before->budget;
    return budget < LOOK_MAX ? budget : LOOK_MAX;
}

struct plan plan_node(struct cache *c, struct slice key)
{
    struct slice parent = key_parent(key);
    struct place at = place_at(key_last(key));
    const struct cpage *before = page_before(c, parent, at);
    bool hole = before && cpage_covers(before, at);
    struct plan plan = {.lease = !bounce_off(c, parent, true), .budget = LOOK_BUDGET};
    unsigned run;

    if (bounce_often(c, key, false) || bounce_often(c, parent, true) ||
        (hole && lone_hole(before, at))) {
        plan.entries = 1;
        return plan;
    }
    if (!hole)
        plan.budget = look_budget(before);
    plan.entries = plan.budget / ENTRY_BYTES;
    run = walk_step(&c->looked, parent);
    if (run >= LOOK_ONWARD) {
        unsigned doubled = run - LOOK_ONWARD < LOOK_DOUBLING ? run - LOOK_ONWARD : LOOK_DOUBLING;
        plan.onward = true;
        plan.readahead = READAHEAD;
        plan.budget = LOOK_BUDGET << doubled;
    }
    return plan;
}

struct plan plan_page(struct cache *c, struct slice parent, struct place from)
{
    const struct cpage *before = page_before(c, parent, from);
    struct plan plan = {.lease = !bounce_off(c, parent, true), .budget = LIST_BUDGET};
    unsigned run;

    if (before && cpage_covers(before, from) && lone_hole(before, from)) {
        plan.entries = 1;
        return plan;
    }
    run = walk_step(&c->listed, parent);
    if (run >= LIST_AHEAD && plan.lease)
        plan.readahead = READAHEAD;
    if (run >= LIST_ONWARD) {
        plan.onward = plan.lease;
        plan.budget = WALK_MAX;
    }
    return plan;
}
