/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_REPLAY, MSG_REPLAYED: batches of before the start, gathered, and applied in their order. */
#include "server/replay.h"
#include <stdlib.h>
#include "base/log.h"
#include "base/mutation.h"
#include "server/batch.h"

#define HELD_MAX   (1u << 20)  /* bytes of reads held back before reading pauses */
#define REPLAY_MAX (32u << 20) /* bytes that a session may send again */
#define RETRY_TIME (100 * LOOP_MS)

struct held {
    TAILQ_ENTRY(held) link;
    struct frame frame; /* of the payload behind */
    uint8_t payload[];
};

struct replay {
    struct backend *backend;
    size_t awaited;
    bool open;     /* OPEN or APPLYING */
    bool applying; /* the first that came is with the store */
    bool abandoned;
    bool told; /* the log says that there is no room */
    struct loop_event *retry;
    struct batch_list came; /* APPLYING: in the order of their stamps */
    TAILQ_HEAD(, session) holding;
    size_t count, failed;
};

struct replay *replay_new(struct backend *backend)
{
    struct replay *r = xcalloc(1, sizeof(*r));

    r->backend = backend;
    TAILQ_INIT(&r->came);
    TAILQ_INIT(&r->holding);
    return r;
}

void replay_free(struct replay *r)
{
    loop_cancel(r->backend->loop, r->retry);
    free(r);
}

void replay_stats(const struct replay *r, struct buf *out)
{
    buf_printf(out, "replay_awaited %zu\nreplayed %zu\n", r->awaited, r->count);
}

/* ---- What is held back ---- */

bool replay_holds(struct session *session)
{
    struct replay *r = session->namespace ? session->namespace->backend->replay : NULL;

    if (!r || !r->open)
        return false;
    if (!session->held_back)
        TAILQ_INSERT_TAIL(&r->holding, session, holding);
    session->held_back = true;
    return true;
}

void replay_hold_read(struct session *session, const struct frame *frame)
{
    size_t len = frame->payload.len;
    struct held *h = xmalloc(sizeof(*h) + len);

    h->frame = *frame;
    h->frame.payload = slice_of(h->payload, len);
    if (len)
        memcpy(h->payload, frame->payload.data, len);
    TAILQ_INSERT_TAIL(&session->held, h, link);
    session->held_bytes += sizeof(*h) + len;
    session_flow(session);
}

bool replay_full(const struct session *session)
{
    return session->held_bytes > HELD_MAX;
}

static void held_free(struct session *session, struct held *h)
{
    TAILQ_REMOVE(&session->held, h, link);
    session->held_bytes -= sizeof(*h) + h->frame.payload.len;
    free(h);
}

void replay_forget_reads(struct session *session)
{
    while (!TAILQ_EMPTY(&session->held))
        held_free(session, TAILQ_FIRST(&session->held));
}

static void let_go(struct replay *r, struct session *session)
{
    TAILQ_REMOVE(&r->holding, session, holding);
    session->held_back = false;
}

static void go_on(struct session *session)
{
    struct held *h;
    int error;

    batch_go_on(session);
    serve_sync_go_on(session, false);
    while (session->state == SESSION_NORMAL && (h = TAILQ_FIRST(&session->held))) {
        error = dispatch(session, &h->frame);
        if (error)
            session_cut(session, error, "malformed or unexpected message");
        else
            held_free(session, h);
    }
    session_flow(session);
}

/* ---- Applying ---- */

static void finish(struct replay *r)
{
    struct session *session;

    r->open = false;
    store_replayed(r->backend->store);
    if (r->count)
        log_notice("%zu batches that the crash took back were sent again and applied", r->count);
    if (r->failed)
        log_error("%zu batches that were sent again could not be applied", r->failed);
    while ((session = TAILQ_FIRST(&r->holding))) {
        let_go(r, session);
        session_ref(session);
        go_on(session);
        session_unref(session);
    }
}

/* A lock may pass now to who has not written this, and what it shows must be durable then. */
static void durable(void *cookie, int error)
{
    struct replay *r = cookie;

    if (error && !r->abandoned)
        log_error("what clients sent again cannot become durable: %s", error_text(error));
    else if (!r->abandoned)
        finish(r);
    backend_unref(r->backend);
}

static void applied(void *cookie, const struct store_result *result);

static void apply_next(void *cookie)
{
    struct replay *r = cookie;
    struct batch *b = TAILQ_FIRST(&r->came);

    r->retry = NULL;
    if (!b) {
        r->backend->refs++;
        store_sync(r->backend->store, durable, r);
        return;
    }
    struct store_source source = {.session = b->session->id, .sequence = b->sequence};
    r->applying = true;
    store_replay(r->backend->store, b->updates, b->count, source, b->stamp, applied, b);
}

/* It has been answered, so it is not dropped for want of room. After a failure of the journal
 * nothing goes on: the next start tries again. */
static void applied(void *cookie, const struct store_result *result)
{
    struct batch *b = cookie;
    struct replay *r = b->backend->replay;
    struct store *store = r->backend->store;

    r->applying = false;
    if (!r->abandoned && store_failed(store)) {
        log_error("what clients send again cannot be applied: %s", error_text(result->error));
        return;
    }
    if (!r->abandoned && result->error == ECP_ENOSPC) {
        if (!r->told)
            log_error("no room for what clients send again after the crash: nobody reads or writes "
                      "until there is; make room on the disk, or raise the database's limit");
        r->told = true;
        r->retry = loop_timer(r->backend->loop, RETRY_TIME, apply_next, r);
        return;
    }
    TAILQ_REMOVE(&r->came, b, of_session);
    if (result->error)
        r->failed++;
    else
        r->count++;
    store_session_answered(store, b->session->id, b->sequence);
    if (!r->abandoned)
        apply_next(r);
    batch_gone(b);
}

static int by_stamp(const void *a, const void *b)
{
    const struct batch *x = *(struct batch *const *)a, *y = *(struct batch *const *)b;

    return x->stamp < y->stamp ? -1 : x->stamp > y->stamp;
}

static void sort(struct replay *r)
{
    struct batch **all, *b;
    size_t count = 0, i = 0;

    TAILQ_FOREACH (b, &r->came, of_session)
        count++;
    all = xcalloc(count + 1, sizeof(*all));
    TAILQ_FOREACH (b, &r->came, of_session)
        all[i++] = b;
    qsort(all, count, sizeof(*all), by_stamp);
    TAILQ_INIT(&r->came);
    for (i = 0; i < count; i++)
        TAILQ_INSERT_TAIL(&r->came, all[i], of_session);
    free(all);
}

void replay_await(struct replay *r, int change)
{
    r->awaited += (size_t)change;
    if (r->awaited)
        r->open = true;
    if (r->awaited || r->abandoned)
        return;
    if (!MUTATION(MUTATION_REPLAY_ORDER))
        sort(r);
    r->retry = loop_soon(r->backend->loop, apply_next, r);
}

void replay_abandon(struct replay *r)
{
    struct batch *b, *next;
    struct session *session;

    if (r->abandoned)
        return;
    r->abandoned = true;
    loop_cancel(r->backend->loop, r->retry);
    r->retry = NULL;
    for (b = TAILQ_FIRST(&r->came); b; b = next) {
        next = TAILQ_NEXT(b, of_session);
        if (r->applying && b == TAILQ_FIRST(&r->came))
            continue;
        TAILQ_REMOVE(&r->came, b, of_session);
        batch_gone(b);
    }
    while ((session = TAILQ_FIRST(&r->holding))) {
        let_go(r, session);
        session_ref(session);
        serve_sync_go_on(session, true);
        batch_drop_all(session);
        session_unref(session);
    }
}

/* ---- Sessions ---- */

void replay_session_end(struct session *session)
{
    if (session->held_back) {
        let_go(session->namespace->backend->replay, session);
        serve_sync_go_on(session, false);
    }
    if (session->replaying && !server_stopping(session->server))
        replay_await(session->namespace->backend->replay, -1);
    session->replaying = false;
}

int serve_replayed(struct session *session, const struct frame *frame)
{
    if (session->replaying)
        replay_await(session->namespace->backend->replay, -1);
    session->replaying = false;
    return 0;
}

/* The client was told that it succeeded. When others do not come back, it may meet another state
 * than then; so what was a condition is none now. */
static int decode(struct batch *b, struct msg_update *m)
{
    uint32_t index;

    if (batch_decode(b, m, &index))
        return ECP_EPROTO;
    for (index = 0; index < b->count; index++) {
        struct update *u = &b->updates[index];

        if (u->kind == UPDATE_INCREMENT)
            return ECP_EPROTO;
        u->cond = COND_NONE;
        u->flags &= UPDATE_KEEP_DIR | UPDATE_VALUE_ONLY;
    }
    return 0;
}

int serve_replay(struct session *session, const struct frame *frame)
{
    struct msg_replay m;
    struct batch *b;

    if (!session->replaying || msg_get_replay(frame->payload, &m))
        return ECP_EPROTO;
    if (m.update.sequence <= session->last_sequence || m.stamp <= session->replayed)
        return ECP_EORDER;
    session->replay_bytes += frame->payload.len;
    if (session->replay_bytes > REPLAY_MAX)
        return ECP_EPROTO;
    b = batch_new(frame, MSG_REPLAY_HEAD, &m.update);
    if (decode(b, &m.update)) {
        batch_free(b);
        return ECP_EPROTO;
    }
    session->last_sequence = m.update.sequence;
    session->replayed = b->stamp = m.stamp;
    b->bytes = 0; /* the limit of updates must not keep out what is waited for */
    batch_begin(session, b);
    TAILQ_INSERT_TAIL(&session->namespace->backend->replay->came, b, of_session);
    return 0;
}
