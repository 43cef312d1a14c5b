/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_UPDATE: a batch is copied to the heap, goes its way (serve_batch.c), and is answered. */
#include <stdlib.h>
#include "base/mutation.h"
#include "server/batch.h"

#define ANSWER_ROOM 128 /* bytes that most answers do not outgrow */

void batch_free(struct batch *b)
{
    free(b);
}

struct batch *batch_new(const struct frame *frame, size_t at, struct msg_update *m)
{
    size_t updates = m->count * sizeof(struct update), len = frame->payload.len - at;
    struct batch *b = xmalloc(sizeof(*b) + updates + len);
    void *payload = (uint8_t *)b->updates + updates;

    *b = (struct batch){
        .id = frame->id, .sequence = m->sequence, .count = m->count, .bytes = updates + len};
    memcpy(payload, frame->payload.data + at, len);
    msg_get_update(slice_of(payload, len), m);
    return b;
}

int batch_decode(struct batch *b, struct msg_update *m, uint32_t *index)
{
    int error;

    for (*index = 0; *index < m->count; (*index)++) {
        error = msg_get_update_next(m, &b->updates[*index]);
        if (error)
            return error;
    }
    return reader_at_end(&m->r) ? 0 : ECP_EPROTO;
}

struct again {
    struct session *session;
    uint64_t id, sequence;
};

static void applied_before(void *cookie, const struct store_result *result)
{
    struct again *a = cookie;
    struct buf out = {0};
    size_t mark;

    if (result->error) {
        session_refuse(a->session, a->id, result->error, result->failed, "");
        return;
    }
    mark = frame_begin(&out, MSG_APPLIED, a->id);
    msg_put_applied(&out, a->sequence, result->stamp, result->values, result->count, NULL, 0);
    session_send_kept(a->session, &out, mark);
    buf_free(&out);
}

/* From before the restart. What the store knows nothing of was refused before it got there. */
static int serve_again(struct session *session, const struct frame *frame, struct msg_update *m)
{
    struct again a = {.session = session, .id = frame->id, .sequence = m->sequence};
    struct update u;
    int error = 0;
    uint32_t index = 0;

    if (store_session_outcome(session->namespace->store, session->id, m->sequence, applied_before,
                              &a))
        return 0;
    for (; index < m->count && !error; index++)
        error = msg_get_update_next(m, &u);
    if (error == ECP_EPROTO)
        return error;
    session_refuse(session, frame->id, error ? error : ECP_EDISCONNECTED, error ? index - 1 : 0, "");
    return 0;
}

/*
 * The sequence number counts as used also when the batch is then refused: the client numbers what
 * it sends, not what succeeds.
 */
int serve_update(struct session *session, const struct frame *frame)
{
    struct batch *b;
    struct msg_update m;
    uint32_t index;
    int error = msg_get_update(frame->payload, &m);

    if (error)
        return ECP_EPROTO;
    if (m.sequence <= session->last_sequence && session->recovered && !MUTATION(MUTATION_TWICE))
        return serve_again(session, frame, &m);
    if (m.sequence != session->last_sequence + 1 && !session->skips)
        return ECP_EORDER;
    session->skips = session->recovered;
    session->last_sequence = m.sequence;
    session_register(session);
    if (session->known)
        store_session_answered(session->namespace->store, session->id, m.answered);
    b = batch_new(frame, 0, &m);
    error = batch_decode(b, &m, &index);
    if (error) {
        batch_free(b);
        if (error == ECP_EPROTO)
            return error;
        session_refuse(session, frame->id, error, index, "");
        return 0;
    }
    batch_submit(session, b);
    return 0;
}

void serve_update_done(struct batch *b, const struct store_result *result)
{
    struct session *session = b->session;
    const struct touch *touches = NULL;
    struct buf out = {0};
    size_t mark, count;

    if (session->state == SESSION_ENDED)
        return;
    if (result->error) {
        session_refuse(session, b->id, result->error, result->failed, "");
        return;
    }
    count = lease_recall_own(b->recall, &touches);
    buf_reserve(&out, ANSWER_ROOM);
    mark = frame_begin(&out, MSG_APPLIED, b->id);
    msg_put_applied(&out, b->sequence, result->stamp, result->values, result->count, touches,
                    count);
    session_send_kept(session, &out, mark);
    buf_free(&out);
}
