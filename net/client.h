/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the client's half: call.c makes calls, client_queue.c keeps them, client.c is the
 * session they go over. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H

#include "net/call.h"
#include "net/conn.h"
#include "net/msg.h"

/* What the calls of one kind send, expect, and do with the outcome. */
struct call_kind {
    uint16_t request, answer; /* enum message_type */
    /* Decodes the whole answer and calls done; ECP_EPROTO, and done not called, when malformed. */
    int (*answered)(struct call *call, struct slice payload);
    void (*failed)(struct call *call, int error, uint32_t index, const char *text);
};

/* A call is in exactly one of its client's lists until its done is called or it is cancelled. */
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
    uint64_t sequence;  /* updates: given when sent */
    int error;          /* in client->ending: what done is told */
    union {
        call_pages_fn *pages;
        call_node_fn *node;
        call_nodes_fn *nodes;
        call_update_fn *update;
        call_space_fn *space;
        call_done_fn *plain;
    } done;
    void *cookie;
    size_t len; /* bytes of payload, which is kept until the answer */
    uint8_t payload[];
};

struct client {
    struct loop *loop;
    struct network *network;
    struct client_config config;
    char *server; /* client_server */
    enum client_state state;
    int lost_error;         /* in CLIENT_LOST */
    void *connecting;       /* handle of network_connect, or NULL */
    struct conn *conn;      /* in CLIENT_GREETING and CLIENT_NORMAL */
    uint64_t backoff;       /* ns, of the last wait between tries; 0: none yet */
    uint64_t lease;         /* ns */
    uint64_t pinged;        /* loop_now of the last keepalive */
    uint64_t last_sequence; /* of the updates sent in this session */
    uint64_t last_id;
    uint64_t round_trips;
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

/* ---- client_queue.c ---- */

void client_queue_init(struct client *client);
/* Frees every call without calling its done. */
void client_queue_free(struct client *client);

/* Makes a call whose payload is client->scratch (which is emptied) and queues it. */
struct call *client_submit(struct client *client, const struct call_kind *kind, void *cookie);
/* Makes a call that ends with error in a later turn; nothing is sent. */
struct call *client_refuse(struct client *client, const struct call_kind *kind, int error,
                           void *cookie);
/* Takes a call out of everything the client knows of. */
void client_forget(struct client *client, struct call *call);
void call_free(struct call *call);
/* The call that a frame with this id answers, or NULL. */
struct call *client_find(struct client *client, uint64_t id);
/* Sends what waits, in this turn of the loop; nothing unless CLIENT_NORMAL. */
void client_pump(struct client *client);
/* Hands client->out to the connection, which must be there. */
void client_flush(struct client *client);
/* The connection is gone. What was sent and got no answer: updates end with ECP_EDISCONNECTED,
 * everything else is to be sent again, in its order and before what waits. */
void client_unsend(struct client *client);
/* Every call that waits ends with error. */
void client_end_waiting(struct client *client, int error);

#endif
