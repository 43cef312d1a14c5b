/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_UPDATE: a batch is copied to the heap, given to the store, and answered when durable. */
#include <stdlib.h>
#include "server/session.h"

/* Holds its session: when that has ended, the batch completes and answers nobody. */
struct serve_update {
    struct session *session;
    uint64_t id, sequence;
    size_t bytes; /* counted in the session's update_bytes */
    void *payload;
    struct update *updates; /* slices point into payload */
    uint32_t count;
};

static void update_free(struct serve_update *u)
{
    free(u->updates);
    free(u->payload);
    free(u);
}

static void update_done(void *cookie, const struct store_result *result)
{
    struct serve_update *u = cookie;
    struct session *session = u->session;
    struct buf out = {0};
    size_t mark;

    session->updates--;
    session->update_bytes -= u->bytes;
    if (session->state == SESSION_ENDED) {
        ;
    } else if (result->error) {
        session_send_error(session, u->id, result->error, result->failed, "");
    } else {
        mark = frame_begin(&out, MSG_APPLIED, u->id);
        msg_put_applied(&out, u->sequence, result->stamp, result->values, result->count,
                        NULL, 0);
        frame_end(&out, mark);
        session_send(session, &out);
    }
    buf_free(&out);
    update_free(u);
    session_unref(session);
}

/* Decodes the batch out of u->payload; *index gets the update at fault. */
static int update_decode(struct serve_update *u, struct msg_update *m, uint32_t *index)
{
    int error;

    for (*index = 0; *index < m->count; (*index)++) {
        error = msg_get_update_next(m, &u->updates[*index]);
        if (error)
            return error;
    }
    return reader_at_end(&m->r) ? 0 : ECP_EPROTO;
}

/*
 * The sequence number counts as used also when the batch is then refused: the client numbers what
 * it sends, not what succeeds.
 */
int serve_update(struct session *session, const struct frame *frame)
{
    struct serve_update *u;
    struct msg_update m;
    uint32_t index;
    int error = msg_get_update(frame->payload, &m);

    if (error)
        return ECP_EPROTO;
    if (m.sequence != session->last_sequence + 1)
        return ECP_EORDER;
    if (m.count > BATCH_MAX_OPS)
        return ECP_EPROTO;
    session->last_sequence = m.sequence;
    u = xcalloc(1, sizeof(*u));
    u->id = frame->id;
    u->sequence = m.sequence;
    u->count = m.count;
    u->payload = xmemdup(frame->payload.data, frame->payload.len);
    u->updates = xcalloc(m.count ? m.count : 1, sizeof(*u->updates));
    u->bytes = frame->payload.len + m.count * sizeof(*u->updates);
    msg_get_update(slice_of(u->payload, frame->payload.len), &m);
    error = update_decode(u, &m, &index);
    if (error) {
        update_free(u);
        if (error == ECP_EPROTO)
            return error;
        session_send_error(session, frame->id, error, index, "");
        return 0;
    }
    u->session = session;
    session_ref(session);
    session->updates++;
    session->update_bytes += u->bytes;
    store_apply(session->namespace->store, u->updates, u->count, update_done, u);
    session_flow(session);
    return 0;
}
