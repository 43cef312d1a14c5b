/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount does when something is taken back: its kernel first, then the answer. */
#include <stdlib.h>

#include "base/mutation.h"
#include "tests/sim/mount.h"

#define RETRY_TIME LOOP_MS

/* Nodes that the kernel is about to learn of by answers of before. */
struct recall {
    struct recall *next;
    struct mount *mount;
    uint64_t serial;
    bool waits[NODES];
    struct loop_event *event;
};

/* False: not now, for an answer is on its way to a kernel that does not know the node. */
static bool invalidate(struct mount *m, unsigned node)
{
    return kernel_invalidate(&m->kernel, node) || m->kernel.nodes[node].landing == 0 ||
           MUTATION(MUTATION_UNKNOWN);
}

static bool settle(struct recall *r)
{
    bool settled = true;
    for (unsigned n = 0; n < NODES; n++) {
        r->waits[n] = r->waits[n] && !invalidate(r->mount, n);
        settled = settled && !r->waits[n];
    }
    return settled;
}

static void recall_remove(struct recall *r)
{
    struct recall **at = &r->mount->recalls;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    free(r);
}

static void retry(void *cookie)
{
    struct recall *r = cookie;
    struct mount *m = r->mount;
    uint64_t serial = r->serial;
    if (!settle(r)) {
        r->event = loop_timer(&m->process->loop, RETRY_TIME, retry, r);
        return;
    }
    recall_remove(r);
    if (serial)
        cache_recalled(m->cache, serial);
}

static void on_recall(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct mount *m = cookie;
    struct recall all = {.mount = m, .serial = serial}, *r;
    for (unsigned n = 0; n < NODES; n++)
        for (size_t i = 0; i < count && !all.waits[n]; i++)
            all.waits[n] = touch_hits_node(&touches[i], key_slice(&m->history->keys[n]));
    for (unsigned n = 0; n < NODES; n++)
        if (all.waits[n])
            world_trace(m->world, m->process, "recall %llu of %s", (unsigned long long)serial,
                        node_name(n));
    if (MUTATION(MUTATION_EARLY) && serial)
        cache_recalled(m->cache, serial);
    else if (settle(&all)) {
        if (serial)
            cache_recalled(m->cache, serial);
        return;
    }
    r = malloc(sizeof(*r));
    *r = all;
    r->next = m->recalls;
    m->recalls = r;
    r->event =
        loop_timer(&m->process->loop, (MUTATION(MUTATION_EARLY) ? 50 : 1) * RETRY_TIME, retry, r);
}

static void on_lost(void *cookie)
{
    struct mount *m = cookie;
    for (unsigned n = 0; n < NODES; n++)
        invalidate(m, n);
    world_trace(m->world, m->process, "lease lost");
}

const struct cache_events mount_events = {.recall = on_recall, .lost = on_lost};

bool mount_recalling(const struct mount *m)
{
    for (const struct recall *r = m->recalls; r; r = r->next)
        if (!r->serial)
            return true;
    return false;
}

void mount_recalls_free(struct mount *m)
{
    for (struct recall *r; (r = m->recalls);) {
        loop_cancel(&m->process->loop, r->event);
        recall_remove(r);
    }
}
