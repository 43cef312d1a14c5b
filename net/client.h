/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the client's half: call.c makes calls, client_queue.c keeps them, client_again.c
 * sends them again, client.c is the session they go over, client_lease.c its lease, client_retain.c
 * what is not yet durable of it. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H

#include <bsd/sys/queue.h>

#include "net/call.h"
#include "net/conn.h"
#include "net/msg.h"
#include "net/resend.h"

/* What the calls of one kind send, expect, and do with the outcome. */
struct call_kind {
    uint16_t request, answer; /* enum message_type; answer 0: none comes, and no done is told */
    /* Decodes the whole answer and calls done; ECP_EPROTO, and done not called, when malformed. */
    int (*answered)(struct call *call, struct slice payload);
    void (*failed)(struct call *call, int error, uint32_t index, const char *text);
};

/* A call is in exactly one of its client's lists until its done is called or it is cancelled. What is
 * kept (resend.h) stays in `sent` when the connection is lost; the rest waits to be sent anew. */
struct call_list {
    struct call *first, *last;
};

struct call {
    struct client *client;
    const struct call_kind *kind;
    struct call_list *list;
    struct call *prev, *next;
    struct call *chain; /* in client->table, while in client->sent */
    uint64_t id;        /* of the frame; a new one each time it is sent */
    uint64_t sequence;  /* updates: given when sent first. SYNC: of the first update after it */
    TAILQ_ENTRY(call) flight; /* in client->flight, while flying */
    bool flying;
    bool sent; /* at least once, in this session */
    uint64_t sent_at;   /* loop_now */
    int error;          /* in client->ending: what done is told */
    union {
        call_pages_fn *pages;
        call_node_fn *node;
        call_nodes_fn *nodes;
        call_update_fn *update;
        call_space_fn *space;
        call_stats_fn *stats;
        call_done_fn *plain;
        call_lock_fn *lock;
        call_locks_fn *locks;
    } done;
    void *cookie;
    uint32_t increments; /* of an update: so many results are to come */
    bool reclaims;       /* a LOCK that declares */
    bool cancelled;      /* a LOCK: the server has been told, or will be */
    size_t len;    /* bytes of payload, which is kept until the answer */
    uint8_t payload[];
};

/* Batches that were answered and may not be on disk, in the order of their sequence numbers. */
struct retained {
    bool wanted;        /* by the server */
    struct buf batches; /* of each u64 sequence, u32 length, payload of MSG_REPLAY */
    size_t head;        /* bytes at its front that are not needed any more */
    bool syncing;       /* our SYNC is under way */
    struct loop_event *timer; /* of the next one */
};

struct client {
    struct loop *loop;
    struct network *network;
    struct client_config config;
    char *server; /* client_server */
    enum client_state state;
    const char *status;     /* client_status.state, .since, .tries, .error */
    uint64_t status_since;
    uint64_t tries;
    char *last_error;       /* or NULL */
    int refusing;           /* client_refuse_calls */
    int lost_error;         /* in CLIENT_LOST */
    void *connecting;       /* handle of network_connect, or NULL */
    struct conn *conn;      /* in CLIENT_GREETING and CLIENT_NORMAL */
    uint64_t backoff;       /* ns, of the last wait between tries; 0: none yet */
    uint64_t asked_id;      /* of HELLO or the keepalive, while it has no answer; 0 */
    uint64_t asked_at;      /* loop_now when it was sent */
    uint64_t last_sequence; /* of the updates sent in this session */
    uint64_t last_id;
    uint64_t round_trips;
    bool local;               /* a unix socket: the system tells when the server is gone */
    TAILQ_HEAD(, call) flight; /* updates sent and not answered */
    size_t flight_bytes;       /* of their payloads */
    uint64_t instance;        /* of the server that knows the session */
    uint64_t session, secret; /* of the last WELCOME; 0: none, or given up */
    uint64_t asked_session;   /* in the last HELLO */
    bool proven; /* an update or a lock of that session was answered, or it outlived a restart */
    uint64_t recovery;        /* ns, the window in which it may be resumed */
    struct loop_event *window; /* its end, while there is no connection */
    uint64_t window_end;       /* loop_now */
    struct resend resend;     /* of that session */
    struct retained retained; /* of that session */
    uint64_t term;            /* ns, of the lease */
    uint64_t renewed;         /* loop_now when the newest request with an answer was sent */
    uint64_t known;           /* the same; not reset when the lease is lost */
    uint64_t lease_end;       /* loop_now; what renewed and term make it; 0: none */
    bool holding;             /* leased pages came since lease_lost was called */
    /* Serial numbers of invalidations, as the user sees them, go on from session to session: the
     * server's and serial_base. So those up to serial_base belong to earlier sessions. */
    uint64_t serial_base, serial_last;
    size_t updates, update_bytes;    /* pending */
    struct loop_event *timer;        /* of the state: try given up, next try, or keepalive */
    struct loop_event *pump_event;   /* sends what waits */
    struct loop_event *ending_event; /* tells calls their end */
    struct call_list waiting;        /* to be sent, in this order */
    size_t waiting_bytes;
    struct call_list sent;   /* no answer yet, in the order they were sent */
    struct call_list ending; /* failed here; done is called by ending_event */
    struct call **table;     /* sent calls by id; chains */
    size_t table_size;       /* a power of two */
    size_t table_count;
    struct buf out;     /* frames of this turn */
    struct buf scratch; /* a payload being encoded */
};

static inline bool call_is_update(const struct call *call)
{
    return call->kind->request == MSG_UPDATE;
}

/* To be done once: part of the session, and not to be sent again in another. */
static inline bool call_is_once(const struct call *call)
{
    uint16_t type = call->kind->request;
    return type == MSG_UPDATE || type == MSG_LOCK || type == MSG_UNLOCK || type == MSG_LOCK_FORCE ||
           type == MSG_SYNC || type == MSG_RECLAIMED || !call->kind->answer;
}

/* Overwrites 8 bytes already written. */
static inline void patch_u64(struct buf *b, size_t at, uint64_t v)
{
    patch_u32(b, at, (uint32_t)v);
    patch_u32(b, at + 4, (uint32_t)(v >> 32));
}

/* ---- client_queue.c ---- */

void client_queue_init(struct client *client);
/* Frees every call without calling its done. */
void client_queue_free(struct client *client);

/* Makes a call whose payload is client->scratch (which is emptied) and queues it. */
struct call *client_submit(struct client *client, const struct call_kind *kind, void *cookie);
/* Makes a call that ends with error in a later turn; nothing is sent. */
struct call *client_refuse(struct client *client, const struct call_kind *kind, int error,
                           void *cookie);
/* The same, but it is sent before all that waits; only in CLIENT_NORMAL. */
struct call *client_submit_now(struct client *client, const struct call_kind *kind, void *cookie);
/* Takes a call out of everything the client knows of. */
void client_forget(struct client *client, struct call *call);
void call_free(struct call *call);
/* The call that a frame with this id answers, or NULL. */
struct call *client_find(struct client *client, uint64_t id);
/* Sends what waits, in this turn of the loop; nothing unless CLIENT_NORMAL. */
void client_pump(struct client *client);
/* Hands client->out to the connection, which must be there. */
void client_flush(struct client *client);
/* Every call that waits ends with error. */
void client_end_waiting(struct client *client, int error);
/* A frame without payload, at once. */
void client_send_empty(struct client *client, uint16_t type, uint64_t id);
/* Ends a frame of the session that was begun in client->out, and sends it: now, or when the session
 * is resumed. */
void client_send_kept(struct client *client, size_t mark);

/* Ends a call that waits to be sent, in a later turn. */
void client_end_call(struct client *client, struct call *call, int error);

/* To the end of a list; from the one it is in. */
void client_list_add(struct call_list *list, struct call *call);
void client_list_remove(struct call *call);
/* One that is in client->sent already: answers find it. */
void client_table_add(struct client *client, struct call *call);
/* From client->sent, or another list, to none. */
void client_unqueue(struct client *client, struct call *call);
/* Ends a call that is in no list, in a later turn. */
void client_end_later(struct client *client, struct call *call, int error);
/* An update has its answer, or will have none. */
void client_land(struct client *client, struct call *call);

/* ---- client_again.c ---- */

/* The connection is gone. Of what was sent and got no answer, that which is not kept is to be sent
 * again, in its order and before what waits. */
void client_unsend(struct client *client);
/* The server was started anew: what it has not answered is sent again, after what is declared to be
 * held and before what waits. Behind all that, since an unlock may wait there, RECLAIMED. */
void client_reclaim(struct client *client);
/* What was sent gets other sequence numbers, from 1 on, when it is sent again. */
void client_renumber(struct client *client);
/* The session is gone: what is still in `sent` ends with ECP_EDISCONNECTED. */
void client_end_sent(struct client *client);

/* ---- call_lock.c ---- */

/* MSG_LOCK_RECALL or MSG_LOCK_LOST: 0, or ECP_EPROTO when malformed. */
int client_lock_said(struct client *client, const struct frame *frame);

/* ---- client_session.c ---- */

/* A session goes on, or another begins. ECP_EPROTO. */
int client_session_welcome(struct client *client, const struct msg_welcome *m);
/* The connection is gone: the session may be resumed for a while. */
void client_session_away(struct client *client);
/* It is over, if there was one. Calls session_lost. */
void client_session_lose(struct client *client);
/* loop_now() until which it can be resumed: from now on, if there is a connection. 0: there is none. */
uint64_t client_session_end(const struct client *client);

/* ---- client_retain.c ---- */

/* The update has been answered with this stamp, and values of INCREMENT: it is kept until it is
 * known to be durable. */
void client_retain(struct client *client, const struct call *call, uint64_t stamp,
                   const struct slice *values);
/* Updates before this sequence number are durable. */
void client_retain_synced(struct client *client, uint64_t sequence);
/* So many wait for their answer, or to become durable, that no more should be sent. */
bool client_retain_full(const struct client *client);
/* The server was started anew, and has them up to this sequence number: the others are sent, in
 * their order, as the first of the session. */
void client_retain_replay(struct client *client, uint64_t last);
/* The session is over, or cannot be told. */
void client_retain_drop(struct client *client);

/* ---- client_status.c ---- */

/* Something that client_status tells of may have changed; why is a sentence, or NULL. */
void client_status_changed(struct client *client, const char *why);

/* ---- client_lease.c ---- */

/* Calls lease_lost, which may cancel calls. */
void client_lease_lose(struct client *client);
/* A request sent then was answered. May call lease_lost, which may cancel calls. */
void client_lease_renew(struct client *client, uint64_t sent_at);
/* Notes that pages came; takes the numbers from those whose lease has run out by now. */
void client_lease_pages(struct client *client, struct page *pages, size_t count);
/* MSG_INVALIDATE: 0, or ECP_EPROTO when malformed. */
int client_invalidate(struct client *client, const struct frame *frame);

#endif
