/* SPDX-License-Identifier: Apache-2.0 */
/* A model of the kernel above one mount: what was answered is served again until it is over. */
#ifndef TESTS_SIM_KERNEL_H
#define TESTS_SIM_KERNEL_H

#include "tests/sim/history.h"

/*
 * As with FUSE: a node that the kernel knows can be invalidated at once, and answers to what was
 * asked before that are not kept. A node that it does not know yet cannot: the first answer on its
 * way would be kept. The mount, not its kernel, must see to that.
 */
struct kernel_node {
    bool known, valid;
    unsigned landing; /* answers on their way that may be kept */
    uint64_t version; /* rises with each invalidation */
    uint64_t expiry;  /* true time */
    uint64_t changed;
    struct state state;
};

struct kernel {
    struct world *world;
    struct kernel_node nodes[NODES];
};

/* What is known of a node and not over; or NULL. */
const struct kernel_node *kernel_get(const struct kernel *k, unsigned node);
/* An answer has come to the kernel, to what was asked at that version; to be kept for `time`.
 * False: something newer came before. */
bool kernel_landed(struct kernel *k, unsigned node, uint64_t version, const struct state *state,
                   uint64_t changed, uint64_t time);
/* False: the kernel does not know the node (yet). */
bool kernel_invalidate(struct kernel *k, unsigned node);
/* For want of memory. */
void kernel_forget(struct kernel *k, unsigned node);

#endif
