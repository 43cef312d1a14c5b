/* SPDX-License-Identifier: Apache-2.0 */
/* From a frame of an open session to the function that serves it, by a table. */
#include "base/mutation.h"
#include "server/batch.h"
#include "server/locks.h"
#include "server/replay.h"

static void answer_empty(struct session *session, uint16_t type, uint64_t id)
{
    struct buf out = {0};
    size_t mark = frame_begin(&out, type, id);

    frame_end(&out, mark);
    session_send(session, &out);
    buf_free(&out);
}

static int serve_ping(struct session *session, const struct frame *frame)
{
    session_have(session);
    answer_empty(session, MSG_PONG, frame->id);
    return 0;
}

static int serve_have(struct session *session, const struct frame *frame)
{
    uint64_t have;

    if (msg_get_have(frame->payload, &have))
        return ECP_EPROTO;
    return resend_had(&session->resend, have);
}

static int serve_pong(struct session *session, const struct frame *frame)
{
    return 0;
}

static int serve_bye(struct session *session, const struct frame *frame)
{
    session->released = true;
    session_end(session, true);
    return 0;
}

static int serve_invalidated(struct session *session, const struct frame *frame)
{
    int error = session->holder ? lease_answered(session->holder, frame->id) : ECP_EPROTO;

    session_flow(session);
    return error;
}

static int serve_release(struct session *session, const struct frame *frame)
{
    struct reader r = reader_of(frame->payload);
    uint64_t number;
    int error;

    while ((error = msg_get_release(&r, &number)) == 0)
        if (session->holder)
            lease_release(session->holder, number);
    return error == ECP_ENOENT ? 0 : error;
}

static int serve_space(struct session *session, const struct frame *frame)
{
    struct namespace *ns = session->namespace;
    struct space space;
    struct buf out = {0};
    int error = store_space(ns->store, ns->space ? ns->space(ns->cookie) : UINT64_MAX, &space);
    size_t mark;

    if (error) {
        session_send_error(session, frame->id, error, 0, "");
        return 0;
    }
    mark = frame_begin(&out, MSG_SPACE_IS, frame->id);
    msg_put_space(&out, &space);
    frame_end(&out, mark);
    session_send(session, &out);
    buf_free(&out);
    return 0;
}

static int serve_stats(struct session *session, const struct frame *frame)
{
    struct buf out = {0}, text = {0};
    size_t mark = frame_begin(&out, MSG_STATS_IS, frame->id);

    buf_printf(&text, "state %s\n", store_failed(session->namespace->store) ? "failed" : "normal");
    server_stats(session->server, &text);
    store_stats(session->namespace->store, &text);
    backend_stats(session->namespace->backend, server_limits(session->server)->max_locks, &text);
    msg_put_stats(&out, buf_slice(&text));
    frame_end(&out, mark);
    session_send(session, &out);
    buf_free(&text);
    buf_free(&out);
    return 0;
}

struct service {
    int (*serve)(struct session *session, const struct frame *frame);
    bool answers; /* the frame needs an id */
    bool empty;   /* has no payload */
    bool reads;   /* waits until the state is that which sessions know */
};

static const struct service services[] = {
    [MSG_PING] = {serve_ping, .empty = true},
    [MSG_PONG] = {serve_pong, .empty = true},
    [MSG_HAVE] = {serve_have, .answers = false},
    [MSG_BYE] = {serve_bye, .empty = true},
    [MSG_READ] = {serve_read, .answers = true, .reads = true},
    [MSG_NODE] = {serve_node, .answers = true, .reads = true},
    [MSG_ORDER] = {serve_order, .answers = true, .reads = true},
    [MSG_SCAN] = {serve_scan, .answers = true, .reads = true},
    [MSG_VALUE] = {serve_value, .answers = true, .reads = true},
    [MSG_SPACE] = {serve_space, .answers = true, .empty = true},
    [MSG_UPDATE] = {serve_update, .answers = true},
    [MSG_SYNC] = {serve_sync, .answers = true, .empty = true},
    [MSG_REPLAY] = {serve_replay, .answers = false},
    [MSG_REPLAYED] = {serve_replayed, .empty = true},
    [MSG_RECLAIMED] = {serve_sync, .answers = true, .empty = true},
    [MSG_INVALIDATED] = {serve_invalidated, .answers = true, .empty = true},
    [MSG_RELEASE] = {serve_release, .answers = false},
    [MSG_LOCK] = {serve_lock, .answers = true},
    [MSG_UNLOCK] = {serve_lock, .answers = true},
    [MSG_LOCK_CANCEL] = {serve_lock, .answers = false},
    [MSG_LOCK_KEPT] = {serve_lock, .answers = false},
    [MSG_LOCK_PASS] = {serve_lock, .answers = false},
    [MSG_LOCK_LIST] = {serve_lock_list, .answers = true},
    [MSG_LOCK_FORCE] = {serve_lock_force, .answers = true},
    [MSG_STATS] = {serve_stats, .answers = true, .empty = true},
};

int dispatch(struct session *session, const struct frame *frame)
{
    const struct service *service;

    if (frame->type >= sizeof(services) / sizeof(services[0]))
        return ECP_EPROTO;
    service = &services[frame->type];
    if (!service->serve || (service->answers && frame->id == 0) ||
        (service->empty && frame->payload.len))
        return ECP_EPROTO;
    if (service->reads && !MUTATION(MUTATION_REPLAY_READ) && replay_holds(session)) {
        replay_hold_read(session, frame);
        return 0;
    }
    return service->serve(session, frame);
}
