/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_NODE, MSG_ORDER, MSG_SCAN and MSG_VALUE: requests that MSG_NODES answers. */
#include "server/session.h"

#define BUDGET_DEFAULT (64u << 10)
#define BUDGET_MAX     (1u << 20)
#define NODE_HEADER    40 /* bytes of a node beside its key and value, at most */

struct serve_nodes {
    struct session_read base;
    struct msg_nodes_writer writer;
    size_t budget;      /* bytes; the first node always goes */
    uint32_t max_nodes; /* 0: any number */
    bool begun, cut;
};

static void begin(struct serve_nodes *n)
{
    if (n->begun)
        return;
    n->begun = true;
    session_read_begin(&n->base, MSG_NODES);
    msg_nodes_begin(&n->writer, &n->base.out);
}

static bool nodes_node(void *cookie, struct slice key, const struct node *node)
{
    struct serve_nodes *n = cookie;
    size_t size = key.len + (node->value.data ? node->value.len : 0) + NODE_HEADER;
    size_t used;

    begin(n);
    used = n->base.out.len - n->base.mark;
    if ((n->max_nodes && n->writer.count >= n->max_nodes) ||
        (n->writer.count > 0 && used + size > n->budget)) {
        n->cut = true;
        return false;
    }
    msg_nodes_node(&n->writer, key, node);
    return true;
}

static void nodes_done(void *cookie, int error, bool ended)
{
    struct serve_nodes *n = cookie;

    if (!error) {
        begin(n);
        msg_nodes_end(&n->writer, ended && !n->cut);
    }
    session_read_done(&n->base, error);
}

static const struct store_sink nodes_sink = {
    .node = nodes_node,
    .done = nodes_done,
};

static struct serve_nodes *nodes_new(struct session *session, const struct frame *frame,
                                     size_t budget)
{
    struct serve_nodes *n = xmalloc(sizeof(*n));

    n->base = (struct session_read){0};
    n->budget = budget;
    n->max_nodes = 0;
    n->cut = false;
    n->begun = false;
    session_read_add(session, &n->base, frame->id, budget);
    return n;
}

/* What a request that does not decode comes to: a refusal, or the end of the session. */
static int refused(struct session *session, const struct frame *frame, int error)
{
    if (error == ECP_EPROTO)
        return error;
    session_send_error(session, frame->id, error, 0, "");
    return 0;
}

static uint32_t at_most(uint32_t n, uint32_t limit)
{
    return n < limit ? n : limit;
}

int serve_node(struct session *session, const struct frame *frame)
{
    struct serve_nodes *n;
    struct msg_node m;
    int error = msg_get_node(frame->payload, &m);

    if (error)
        return refused(session, frame, error);
    n = nodes_new(session, frame, at_most(m.max_value, BUDGET_DEFAULT));
    n->base.read =
        store_node(session->namespace->store, m.key, m.view, m.max_value, &nodes_sink, n);
    return 0;
}

int serve_order(struct session *session, const struct frame *frame)
{
    struct serve_nodes *n;
    struct msg_order m;
    int error = msg_get_order(frame->payload, &m);

    if (error)
        return refused(session, frame, error);
    n = nodes_new(session, frame, at_most(m.max_value, BUDGET_DEFAULT));
    n->base.read = store_order(session->namespace->store, m.parent, m.level, m.backwards, m.view,
                               m.max_value, &nodes_sink, n);
    return 0;
}

int serve_scan(struct session *session, const struct frame *frame)
{
    struct serve_nodes *n;
    struct msg_scan m;
    int error = msg_get_scan(frame->payload, &m);

    if (error)
        return refused(session, frame, error);
    n = nodes_new(session, frame, m.budget ? at_most(m.budget, BUDGET_MAX) : BUDGET_DEFAULT);
    n->max_nodes = m.max_nodes;
    n->base.read = store_scan(session->namespace->store, m.top, m.from, m.backwards, m.max_value,
                              &nodes_sink, n);
    return 0;
}

int serve_value(struct session *session, const struct frame *frame)
{
    struct serve_nodes *n;
    struct msg_value m;
    int error = msg_get_value(frame->payload, &m);

    if (error)
        return refused(session, frame, error);
    n = nodes_new(session, frame, at_most(m.len, VALUE_MAX_LEN));
    n->base.read = store_value(session->namespace->store, m.key, m.offset,
                               at_most(m.len, VALUE_MAX_LEN), &nodes_sink, n);
    return 0;
}
