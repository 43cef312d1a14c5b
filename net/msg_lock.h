/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of locks. PROTOCOL has every byte. Rules for coding and decoding as in net/msg.h. */
#ifndef NET_MSG_LOCK_H
#define NET_MSG_LOCK_H

#include "net/msg.h"

#define MSG_LOCK_ITEMS_MAX 4096
#define MSG_LOCK_TEXT_MAX  255
#define MSG_LOCK_GROUP_LEN 16

enum msg_lock_flags {
    MSG_LOCK_WAIT = 1,
    MSG_LOCK_DELEGABLE = 2, /* the session may keep it when its owner is done */
    MSG_LOCK_PATIENT = 4,   /* wait although it would be for itself */
    MSG_LOCK_REPLACE = 8,   /* all that the owner holds is released first */
    MSG_LOCK_GROUPED = 16,  /* a group follows; set by its presence */
    MSG_LOCK_TEST = 32,     /* nothing is taken when it is granted */
    MSG_LOCK_PROCESS = 64,  /* a process follows; set by its presence */
    MSG_LOCK_RECLAIM = 128, /* held already, from before a restart of the server */
};

struct msg_lock_item {
    struct slice name; /* a valid key */
    bool exclusive, counted;
    uint64_t start, end; /* start < end */
};

struct msg_lock_who {
    uint64_t owner;
    const uint8_t *group; /* MSG_LOCK_GROUP_LEN bytes, or NULL */
    uint64_t process;     /* or 0: what is of one in this session may wait for itself */
    struct slice text;    /* "host pid command" */
};

/* MSG_LOCK. Decoding: then msg_get_lock_item count times, then check reader_at_end(&m->r). */
struct msg_lock {
    uint8_t flags;
    struct msg_lock_who who;
    uint16_t count; /* 1 to MSG_LOCK_ITEMS_MAX */
    struct reader r;
};
void msg_put_lock(struct buf *out, const struct msg_lock *m, const struct msg_lock_item *items);
int msg_get_lock(struct slice payload, struct msg_lock *m);
void msg_put_lock_item(struct buf *out, const struct msg_lock_item *item);
int msg_get_lock_item(struct reader *r, struct msg_lock_item *item);

/* MSG_LOCKED. */
void msg_put_locked(struct buf *out, uint64_t stamp);
int msg_get_locked(struct slice payload, uint64_t *stamp);

/* MSG_UNLOCK: items, or (count 0) all of the owner. Decoding as MSG_LOCK. */
struct msg_unlock {
    uint64_t owner;
    uint16_t count;
    struct reader r;
};
void msg_put_unlock(struct buf *out, const struct msg_unlock *m, const struct msg_lock_item *items);
int msg_get_unlock(struct slice payload, struct msg_unlock *m);

/* MSG_LOCK_CANCEL: the id of a LOCK. */
void msg_put_lock_cancel(struct buf *out, uint64_t id);
int msg_get_lock_cancel(struct slice payload, uint64_t *id);

/* MSG_LOCK_RECALL, MSG_LOCK_KEPT, MSG_LOCK_LOST: one owner's lock of a name. */
struct msg_lock_name {
    uint64_t owner;
    struct slice name;
};
void msg_put_lock_name(struct buf *out, const struct msg_lock_name *m);
int msg_get_lock_name(struct slice payload, struct msg_lock_name *m);

/* MSG_LOCK_PASS. */
struct msg_lock_pass {
    uint64_t from;
    struct slice name;
    uint8_t flags; /* MSG_LOCK_DELEGABLE, MSG_LOCK_GROUPED, MSG_LOCK_PROCESS */
    struct msg_lock_who to;
};
void msg_put_lock_pass(struct buf *out, const struct msg_lock_pass *m);
int msg_get_lock_pass(struct slice payload, struct msg_lock_pass *m);

/* MSG_LOCK_LIST. */
struct msg_lock_list {
    struct slice under; /* a key: names at or below it */
    uint32_t max;       /* rows; 0: as many as fit */
};
void msg_put_lock_list(struct buf *out, const struct msg_lock_list *m);
int msg_get_lock_list(struct slice payload, struct msg_lock_list *m);

/* MSG_LOCKS: whether more are there, then rows to the end of the payload. Decoding: rows one by
 * one; ECP_ENOENT after the last. */
enum msg_lock_row_flags {
    MSG_LOCK_ROW_EXCLUSIVE = 1,
    MSG_LOCK_ROW_COUNTED = 2,
    MSG_LOCK_ROW_WAITING = 4,
    MSG_LOCK_ROW_DEADLOCKED = 8,
    MSG_LOCK_ROW_DELEGABLE = 16,
    MSG_LOCK_ROW_ALL = 31
};
struct msg_lock_row {
    uint8_t flags;
    struct slice name, text;
    uint64_t session, owner;
    uint64_t since; /* ns since the epoch: granted, or asked for */
    uint32_t count;
    uint64_t start, end;
};
void msg_put_lock_row(struct buf *out, const struct msg_lock_row *row);
int msg_get_lock_row(struct reader *r, struct msg_lock_row *row);

/* MSG_LOCK_FORCE: every lock of the name, and (below) of those below it. */
void msg_put_lock_force(struct buf *out, struct slice name, bool below);
int msg_get_lock_force(struct slice payload, struct slice *name, bool *below);
/* MSG_LOCK_FORCED: how many locks there were. */
void msg_put_lock_forced(struct buf *out, uint32_t count);
int msg_get_lock_forced(struct slice payload, uint32_t *count);

#endif
