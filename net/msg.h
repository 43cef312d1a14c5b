/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: payloads of frames, encoders and decoders of both halves side by side. PROTOCOL has
 * every byte. */
#ifndef NET_MSG_H
#define NET_MSG_H

#include "base/buf.h"
#include "base/error.h"
#include "base/model.h"

#define PROTOCOL_MAGIC 0x46504345u /* "ECPF", little-endian */
/* Versions this build speaks; tests build programs of others. */
#ifndef PROTOCOL_MAX
#define PROTOCOL_MIN 1
#define PROTOCOL_MAX 1
#endif

enum message_type {
    /* Session */
    MSG_HELLO = 1,   /* client, first frame */
    MSG_WELCOME = 2, /* server's answer */
    MSG_ERROR = 3,   /* answer to any request, or (id 0) why the server closes */
    MSG_PING = 4,    /* either side; also keepalive */
    MSG_PONG = 5,
    MSG_BYE = 6,  /* no more requests; the session ends */
    MSG_HAVE = 7, /* either side: kept frames that have come; net/resend.h */
    /* Reads */
    MSG_READ = 16, /* children of a node */
    MSG_PAGES = 17,
    MSG_NODE = 18,  /* one node */
    MSG_ORDER = 19, /* sibling */
    MSG_SCAN = 20,  /* nodes with values, in order */
    MSG_NODES = 21, /* answers MSG_NODE, MSG_ORDER, MSG_SCAN, MSG_VALUE */
    MSG_VALUE = 22, /* a range of a value's bytes */
    MSG_SPACE = 23, /* figures of the database */
    MSG_SPACE_IS = 24,
    /* Updates */
    MSG_UPDATE = 32,
    MSG_APPLIED = 33,
    MSG_SYNC = 34, /* answered when earlier updates are durable */
    MSG_SYNCED = 35,
    MSG_REPLAY = 36,   /* client: a batch that was answered before the server was started anew */
    MSG_REPLAYED = 37, /* client: that was all of them */
    /* Leases */
    MSG_INVALIDATE = 48,  /* server; its id is the serial number */
    MSG_INVALIDATED = 49, /* client, same id; no payload */
    MSG_RELEASE = 50,     /* client: leases given back */
    /* Locks: net/msg_lock.h */
    MSG_LOCK = 64,
    MSG_LOCKED = 65,
    MSG_UNLOCK = 66,
    MSG_UNLOCKED = 67,    /* no payload */
    MSG_LOCK_CANCEL = 68, /* client; the LOCK itself is answered */
    MSG_LOCK_RECALL = 69, /* server: others want a lock that the session may keep */
    MSG_LOCK_KEPT = 70,   /* client: its owner uses it */
    MSG_LOCK_PASS = 71,   /* client: another of its owners has it now */
    MSG_LOCK_LOST = 72,   /* server: an administrator has taken it */
    MSG_LOCK_LIST = 73,
    MSG_LOCKS = 74,
    MSG_LOCK_FORCE = 75,
    MSG_LOCK_FORCED = 76,
    MSG_RECLAIMED = 77, /* client: after a restart of the server, all it held is declared */
    /* Administration */
    MSG_STATS = 80, /* figures of the server */
    MSG_STATS_IS = 81,
    /* 78-79: locks; 82-95: administration. Reserved. */
};

/*
 * Every decoder takes a payload that may be anything, returns 0 or ECP_EPROTO (ECP_EINVAL for a
 * malformed key, ECP_EKEYLONG, ECP_EVALUELONG where the request is well-formed but must be
 * refused), and borrows slices from the payload. Every encoder appends a payload to out (between
 * frame_begin and frame_end). HELLO and WELCOME end in options (u16 tag, u16 length, bytes) of
 * which unknown tags are skipped.
 */

enum msg_hello_flags {
    MSG_HELLO_RESUMES = 1, /* it will come back when its connection is lost, or the server */
    MSG_HELLO_FLAGS_ALL = 1
};

struct msg_hello {
    uint16_t version_min, version_max;
    uint64_t resume_session; /* 0: a new session */
    uint64_t resume_secret;
    uint64_t received; /* kept frames of that session that have come */
    uint8_t flags;     /* enum msg_hello_flags */
    struct slice namespace;
    struct slice program; /* "ecpfs 0.1 host/pid", for logs and status; at most 255 bytes */
    /* Options. */
    bool retains;      /* it keeps what is not durable, and sends it again after a restart */
    uint64_t instance; /* of the server that `received` is about; 0: of the one that is asked */
};
void msg_put_hello(struct buf *out, const struct msg_hello *m);
int msg_get_hello(struct slice payload, struct msg_hello *m);

struct msg_welcome {
    uint16_t version;       /* the one chosen */
    uint64_t session;       /* never 0 */
    uint64_t secret;        /* proves the session when resuming */
    uint64_t instance;      /* changes when the server restarts */
    uint32_t lease_ms;      /* lease term */
    uint32_t recovery_ms;   /* recovery window */
    uint64_t received;      /* kept frames of a resumed session that have come */
    struct slice server;    /* "ecpd 0.1" */
    /* Options. */
    bool retain;   /* APPLIED does not mean durable here: what has it is to be kept */
    bool replay;   /* the server was started anew: what is kept is wanted, then MSG_REPLAYED */
    uint64_t last; /* but for batches up to this one, which it has; 0 unless `replay` */
};
void msg_put_welcome(struct buf *out, const struct msg_welcome *m);
int msg_get_welcome(struct slice payload, struct msg_welcome *m);

struct msg_error {
    uint16_t code;     /* enum ecp_error; unknown ones are kept */
    uint32_t index;    /* update in the batch, when the request was one */
    struct slice text; /* more words, may be empty; at most 1024 bytes */
};
/* MSG_HAVE: u64 count of kept frames. */
int msg_get_have(struct slice payload, uint64_t *count);

void msg_put_error(struct buf *out, const struct msg_error *m);
int msg_get_error(struct slice payload, struct msg_error *m);

/* MSG_READ. Children of parent, see store_page. */
struct msg_read {
    struct slice parent; /* a valid key */
    struct slice from;   /* one level, or empty */
    bool after;
    uint8_t view;       /* enum view */
    uint32_t max_value; /* largest value to include, bytes */
    uint32_t budget;    /* bytes of reply wanted at most; the server has its own bound too */
    uint32_t readahead; /* most pages read ahead; 0: none */
    uint32_t entries;   /* most entries of the page asked for; 0: as the budget allows */
    bool lease;         /* pages are to be leased */
    bool onward;        /* reading ahead goes on beyond parent's subtree, in key order */
};
void msg_put_read(struct buf *out, const struct msg_read *m);
int msg_get_read(struct slice payload, struct msg_read *m);

/*
 * MSG_PAGES: written page by page while the store reads. msg_pages_page/entry append; a page's
 * count, end mark and lease are patched by msg_pages_page_end, when its bounds are known (the
 * lease in struct page is not looked at). Decoding: msg_get_pages_next yields one page at a time.
 */
struct msg_pages_writer {
    struct buf *out;
    size_t page_at;  /* where the current page's header is */
    size_t lease_at; /* where its lease is */
    uint32_t count;
};
void msg_pages_begin(struct msg_pages_writer *w, struct buf *out);
void msg_pages_page(struct msg_pages_writer *w, const struct page *page);
void msg_pages_entry(struct msg_pages_writer *w, const struct entry *entry);
void msg_pages_page_end(struct msg_pages_writer *w, bool to_end, uint64_t lease);
/* Size that an entry takes, for budgets. */
size_t msg_entry_size(const struct entry *entry);
/*
 * Next page of the payload that r is over; its entries go to *entries (grown with xrealloc,
 * *capacity entries; the caller frees at the end) and page->entries points there. 0 with
 * page->entries set; ECP_ENOENT at the end; ECP_EPROTO.
 */
int msg_get_pages_next(struct reader *r, struct page *page, struct entry **entries,
                       size_t *capacity);

/* MSG_NODE: one node. */
struct msg_node {
    struct slice key;
    uint8_t view;
    uint32_t max_value;
};
void msg_put_node(struct buf *out, const struct msg_node *m);
int msg_get_node(struct slice payload, struct msg_node *m);

/* MSG_ORDER: sibling after (before) level under parent. */
struct msg_order {
    struct slice parent;
    struct slice level; /* one level, or empty: from the end */
    bool backwards;
    uint8_t view;
    uint32_t max_value;
};
void msg_put_order(struct buf *out, const struct msg_order *m);
int msg_get_order(struct slice payload, struct msg_order *m);

/* MSG_SCAN: nodes with values, see store_scan. */
struct msg_scan {
    struct slice top;
    struct slice from; /* a key, or empty */
    bool backwards;
    uint32_t max_value;
    uint32_t max_nodes; /* 0: as many as the budget allows */
    uint32_t budget;
};
void msg_put_scan(struct buf *out, const struct msg_scan *m);
int msg_get_scan(struct slice payload, struct msg_scan *m);

/* MSG_VALUE: answered with MSG_NODES of one node whose value is the range. */
struct msg_value {
    struct slice key;
    uint32_t offset, len; /* bytes */
};
void msg_put_value(struct buf *out, const struct msg_value *m);
int msg_get_value(struct slice payload, struct msg_value *m);

/* MSG_NODES: any number of nodes, keys compressed against the one before; then whether the end was
 * reached. */
struct msg_nodes_writer {
    struct buf *out;
    size_t at; /* start of the payload */
    struct key last;
    uint32_t count;
};
void msg_nodes_begin(struct msg_nodes_writer *w, struct buf *out);
void msg_nodes_node(struct msg_nodes_writer *w, struct slice key, const struct node *node);
void msg_nodes_end(struct msg_nodes_writer *w, bool ended);
struct msg_nodes_reader {
    struct reader r;
    struct key key; /* of the node last read */
    uint32_t left;  /* nodes still to come */
    bool ended;     /* nothing more lies in this direction */
};
int msg_get_nodes(struct slice payload, struct msg_nodes_reader *m);
/* Next node: 0, ECP_ENOENT after the last, ECP_EPROTO. Its key is m->key. */
int msg_get_nodes_next(struct msg_nodes_reader *m, struct node *node);

/* MSG_STATS_IS: lines "name value". */
void msg_put_stats(struct buf *out, struct slice text);
int msg_get_stats(struct slice payload, struct slice *text);

/* MSG_SPACE_IS (MSG_SPACE, MSG_STATS, MSG_SYNC, MSG_SYNCED, MSG_PING, MSG_PONG and MSG_BYE have no payload). */
void msg_put_space(struct buf *out, const struct space *m);
int msg_get_space(struct slice payload, struct space *m);

/*
 * MSG_UPDATE: u64 sequence (1, 2, 3 ... in each session), u32 count, the updates. Built in place:
 * put_update appends one, msg_update_end patches the count. Decoding checks that every update is
 * as base/model.h says.
 */
size_t msg_update_begin(struct buf *out, uint64_t sequence, uint64_t answered); /* returns a mark */
void msg_put_update(struct buf *out, const struct update *update);
void msg_update_end(struct buf *out, size_t mark, uint32_t count);
struct msg_update {
    uint64_t sequence, answered; /* all up to this one have been answered */
    uint32_t count;
    uint32_t increments; /* among those that were read */
    struct reader r;     /* at the next update */
};
int msg_get_update(struct slice payload, struct msg_update *m);
int msg_get_update_next(
    struct msg_update *m,
    struct update *update); /* call exactly count times; then check reader_at_end(&m->r) */

/* MSG_REPLAY: u64 stamp that APPLIED told, then as MSG_UPDATE; without INCREMENT. */
#define MSG_REPLAY_HEAD 8 /* bytes before what is as MSG_UPDATE */
struct msg_replay {
    uint64_t stamp;
    struct msg_update update;
};
int msg_get_replay(struct slice payload, struct msg_replay *m);

/*
 * MSG_APPLIED: the batch is applied, visible to all (and, until DURABLE is told apart, on disk).
 * Touches: what it changed of pages that are leased to the session itself.
 */
struct msg_applied {
    uint64_t sequence;
    uint64_t stamp;
    uint32_t count; /* results: one value per INCREMENT */
    struct reader r;
};
void msg_put_applied(struct buf *out, uint64_t sequence, uint64_t stamp, const struct slice *values,
                     size_t count, const struct touch *touches, size_t touch_count);
int msg_get_applied(struct slice payload, struct msg_applied *m);
int msg_get_applied_next(struct msg_applied *m, struct slice *value); /* exactly count times; */
/* then this, which gives how many touches follow; then msg_get_touch on &m->r so many times; then
 * check reader_at_end(&m->r). */
int msg_get_applied_touches(struct msg_applied *m, uint32_t *count);

/*
 * MSG_INVALIDATE: touches, at least one, to the end of the payload. Decoding: reader_of(payload),
 * then one touch after the other: 0, ECP_ENOENT after the last, ECP_EPROTO.
 */
#define MSG_TOUCH_MIN_SIZE 3 /* bytes a touch takes at least */
void msg_put_touches(struct buf *out, const struct touch *touches, size_t count);
int msg_get_touch(struct reader *r, struct touch *touch);

/* MSG_RELEASE: lease numbers, none of them 0, to the end of the payload. Decoding like touches. */
void msg_put_release(struct buf *out, const uint64_t *leases, size_t count);
int msg_get_release(struct reader *r, uint64_t *lease);

#endif
