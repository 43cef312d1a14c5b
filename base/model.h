/* SPDX-License-Identifier: Apache-2.0 */
/* The data model that every layer speaks: nodes, pages of children, updates. See DESIGN, "Data
 * model". */
#ifndef BASE_MODEL_H
#define BASE_MODEL_H

#include "base/key.h"

#define VALUE_MAX_LEN  (4u << 20)   /* bytes of a value */
#define BATCH_MAX_OPS  65535        /* updates in a batch */
#define BATCH_MAX_INCR 60000        /* INCREMENTs among them: one answer has all their results */
#define MOVE_MAX_NODES 262144       /* nodes one MOVE may carry; more is ECP_ETOOBIG */
#define MOVE_MAX_BYTES (256u << 20) /* bytes of values one MOVE may carry */

/* What a node is. NODE_VALUE and NODE_DIR are stored in its record; NODE_CHILDREN is derived. */
enum node_flags {
    NODE_VALUE = 1,    /* has a value */
    NODE_DIR = 2,      /* is marked as a directory made through the file system */
    NODE_CHILDREN = 4, /* has a descendant with a value or a mark */
};

/*
 * Who looks. Marks are metadata of the file system: the globals view ($DATA, $ORDER, $QUERY,
 * export) does not see them, nor nodes that lead to nothing but marks. NODE_CHILDREN means, in the
 * files view, that a descendant has a record; in the globals view, that a descendant has a value.
 */
enum view { VIEW_FILES = 0, VIEW_GLOBALS = 1, VIEW_END };

/* A node as reads report it. */
struct node {
    uint8_t flags;      /* enum node_flags; 0: the node does not exist */
    uint64_t stamp;     /* of its record: commit time in ns since the epoch; 0 without a record */
    uint64_t changed;   /* directories: rises whenever the listing does; never goes back. Else 0 */
    uint32_t value_len; /* bytes */
    struct slice value; /* the value, when it was asked for and small enough; data NULL else */
};

/* One child in a page. */
struct entry {
    struct slice sub; /* last level's key bytes */
    struct node node;
};

/* A run of one node's children, complete between its bounds: what is not in it does not exist. */
struct page {
    struct slice parent; /* key of the node whose children these are */
    struct node self;    /* that node; value never included */
    struct slice first;  /* last-level key bytes from which on the page is complete; empty: from the
                            first child */
    bool to_end;         /* no children after the last entry */
    uint64_t lease;      /* number of its lease, for giving it back; 0: it must not be cached */
    struct entry *entries; /* in key order */
    size_t count;
};

/*
 * What of cached pages is no longer true, or is taken back.
 *   TOUCH_ENTRY    the entry of key in its parent's page: existence, flags, stamps, value. For the
 *                  root: what its page says of the root itself
 *   TOUCH_SUBTREE  that entry, and everything below key
 *   TOUCH_PAGES    nothing changed, but the pages of key's children are no longer leased; for the
 *                  root, neither is what they say of the root itself
 */
enum touch_kind { TOUCH_ENTRY = 0, TOUCH_SUBTREE = 1, TOUCH_PAGES = 2, TOUCH_KIND_END };
struct touch {
    uint8_t kind; /* enum touch_kind */
    struct slice key;
};

/* Whether anything that the page [first, last] of parent says of its entries is hit; last is
 * ignored when to_end. */
bool touch_hits_page(const struct touch *touch, struct slice parent, struct slice first,
                     struct slice last, bool to_end);
/* Whether the node's entry is hit. */
bool touch_hits_node(const struct touch *touch, struct slice key);

enum update_kind {
    UPDATE_SET = 1,       /* value */
    UPDATE_KILL = 2,      /* the node and its descendants, values and marks */
    UPDATE_ZKILL = 3,     /* the node's value only */
    UPDATE_APPEND = 4,    /* value is added at the end; creates */
    UPDATE_INCREMENT = 5, /* value is the text of the increment; result: the new value */
    UPDATE_MKDIR = 6,     /* ECP_EEXIST when the node exists in any way */
    UPDATE_RMDIR = 7,     /* ECP_ENOENT, ECP_ENOTDIR, ECP_ENOTEMPTY */
    UPDATE_MOVE = 8,      /* subtree to the key in value; as rename(2) says */
    UPDATE_KIND_END
};

enum update_cond {
    COND_NONE = 0,
    COND_ABSENT = 1,  /* the node (MOVE: the destination) does not exist: else ECP_EEXIST */
    COND_PRESENT = 2, /* the node has a value: else ECP_ENOENT (ZKILL) or ECP_ESTALE (others) */
    COND_STAMP = 3,   /* the node's record has this stamp (0: no record): else ECP_ESTALE */
    COND_END
};

enum update_flags {
    UPDATE_IN_DIR =
        1, /* parent (MOVE: the destination's) must be the root, marked, or have children;
              else ECP_ENOENT, or ECP_ENOTDIR when it is a leaf with a value */
    UPDATE_KEEP_DIR =
        2, /* a parent (MOVE: the source's) that loses its last child and has no mark gets one */
    UPDATE_VALUE_ONLY = 4, /* MOVE: the value alone moves, from node to node */
    UPDATE_IS_FILE =
        8, /* SET, APPEND, ZKILL: refuse with ECP_EISDIR a node with children or a mark */
    UPDATE_FLAGS_ALL = 15
};

/* One operation of a batch. Slices are borrowed. */
struct update {
    uint8_t kind;     /* enum update_kind */
    uint8_t cond;     /* enum update_cond */
    uint8_t flags;    /* enum update_flags */
    uint64_t stamp;   /* for COND_STAMP */
    struct slice key; /* a valid key, not the root (KILL: the root is allowed and kills all) */
    struct slice
        value; /* SET, APPEND: value; INCREMENT: number text; MOVE: destination key; else empty */
};

/* Figures of the database behind a namespace, for statfs and df. */
struct space {
    uint64_t total; /* bytes: the database's size limit or what the disk allows, if less */
    uint64_t free;  /* bytes */
    uint64_t nodes; /* records stored */
};

#endif
