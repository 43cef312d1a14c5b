/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of a fake server, with every version it ever had. */
#ifndef UNIT_FAKE_TREE_H
#define UNIT_FAKE_TREE_H

#include "base/model.h"

/* What one update made of one node. */
struct fake_state {
    size_t version; /* from which on */
    struct node node;
};

struct fake_node {
    struct key *key; /* stays where it is */
    struct fake_state *states;
    size_t count;
};

/* In key order; a node that was once stays, and may have flags 0. */
struct fake_tree {
    struct fake_node *nodes;
    size_t count;
    size_t version;
};

void fake_tree_init(struct fake_tree *t);
void fake_tree_free(struct fake_tree *t);
/* value NULL: the node and all below go. */
void fake_tree_update(struct fake_tree *t, struct slice key, const char *value);
struct node fake_tree_node(const struct fake_tree *t, struct slice key, size_t version);
bool fake_tree_child(const struct fake_tree *t, struct slice parent, struct slice from, bool after,
                     size_t version, struct entry *child);

#endif
