/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel keeps of answers, and for how long. */
#include "tests/sim/kernel.h"

const struct kernel_node *kernel_get(const struct kernel *k, unsigned node)
{
    const struct kernel_node *n = &k->nodes[node];
    return n->valid && k->world->now < n->expiry ? n : NULL;
}

bool kernel_landed(struct kernel *k, unsigned node, uint64_t version, const struct state *state,
                   uint64_t changed, uint64_t time)
{
    struct kernel_node *n = &k->nodes[node];
    n->known = true;
    if (!time || n->version != version)
        return n->version == version;
    n->valid = true;
    n->version++; /* what was asked for before this is older */
    n->expiry = k->world->now + time;
    n->state = *state;
    n->changed = changed;
    return true;
}

bool kernel_invalidate(struct kernel *k, unsigned node)
{
    struct kernel_node *n = &k->nodes[node];
    if (!n->known)
        return false;
    n->valid = false;
    n->version++;
    return true;
}

void kernel_forget(struct kernel *k, unsigned node)
{
    struct kernel_node *n = &k->nodes[node];
    n->known = n->valid = false;
}
