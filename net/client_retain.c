/* SPDX-License-Identifier: Apache-2.0 */
/* What was answered before it is durable: kept, and sent again when the server was started anew. */
#include "base/mutation.h"
#include "net/client.h"

#define RETAIN_SYNC (4u << 20)  /* bytes after which the disk is asked for, at once */
#define RETAIN_MAX  (16u << 20) /* bytes, with those on their way, after which no update is sent */
#define RETAIN_TIME LOOP_SEC    /* until it is asked for otherwise */
#define HEAD        12          /* bytes before each batch */

static size_t bytes(const struct client *c)
{
    return c->retained.batches.len - c->retained.head;
}

/* ---- SYNC by ourselves ---- */

static void arm(struct client *c);

static int synced(struct call *call, struct slice payload)
{
    if (payload.len)
        return ECP_EPROTO;
    call->client->retained.syncing = false;
    arm(call->client);
    return 0;
}

static void not_synced(struct call *call, int error, uint32_t index, const char *text)
{
    call->client->retained.syncing = false;
    arm(call->client);
}

static const struct call_kind sync_kind = {MSG_SYNC, MSG_SYNCED, synced, not_synced};

static void sync_now(void *cookie)
{
    struct client *c = cookie;
    c->retained.timer = NULL;
    if (c->state != CLIENT_NORMAL) {
        arm(c);
        return;
    }
    c->retained.syncing = true;
    client_submit_now(c, &sync_kind, NULL);
}

static void arm(struct client *c)
{
    struct retained *r = &c->retained;
    if (bytes(c) && !r->syncing && !r->timer)
        r->timer = loop_timer(c->loop, RETAIN_TIME, sync_now, c);
}

/* ---- Keeping ---- */

/* What an INCREMENT came to has been told: so it is that which comes again. */
static void put_as_told(struct buf *out, const struct call *call, const struct slice *values)
{
    struct msg_update m = {.r = reader_of(slice_of(call->payload, call->len))};
    struct update u;
    get_u64(&m.r);
    get_u64(&m.r);
    m.count = get_u32(&m.r);
    size_t mark = msg_update_begin(out, 0, 0);
    for (uint32_t i = 0; i < m.count && !msg_get_update_next(&m, &u); i++) {
        if (u.kind == UPDATE_INCREMENT) {
            u.kind = UPDATE_SET;
            u.value = *values++;
        }
        msg_put_update(out, &u);
    }
    msg_update_end(out, mark, m.count);
}

void client_retain(struct client *c, const struct call *call, uint64_t stamp,
                   const struct slice *values)
{
    struct retained *r = &c->retained;
    struct buf *out = &r->batches;
    if (!r->wanted)
        return;
    size_t begun = out->len;
    put_u64(out, call->sequence);
    put_u32(out, 0);
    size_t at = out->len;
    put_u64(out, stamp);
    if (values)
        put_as_told(out, call, values);
    else
        buf_append(out, call->payload, call->len);
    if (out->len - at > FRAME_MAX_PAYLOAD) { /* what INCREMENTs of one batch came to has no room */
        out->len = begun;
        return;
    }
    patch_u32(out, at - 4, (uint32_t)(out->len - at));
    patch_u64(out, at + 8, call->sequence);
    patch_u64(out, at + 16, call->sequence - 1);
    arm(c);
    if (bytes(c) >= RETAIN_SYNC && !r->syncing && c->state == CLIENT_NORMAL) {
        loop_cancel(c->loop, r->timer);
        sync_now(c);
    }
}

/* What is on its way will be kept, too; and more than the server takes again must never be. */
bool client_retain_full(const struct client *c)
{
    return bytes(c) + (c->retained.wanted ? c->flight_bytes : 0) >= RETAIN_MAX;
}

/* The first batch; false: there is none. */
static bool first(const struct client *c, uint64_t *sequence, struct slice *payload)
{
    const struct retained *r = &c->retained;
    struct reader from;
    if (!bytes(c))
        return false;
    from = reader_of(slice_of(r->batches.data + r->head, bytes(c)));
    *sequence = get_u64(&from);
    *payload = get_bytes32(&from);
    return true;
}

/* What is at the front goes when it is most of it, so that each byte is moved once at most. */
static void tidy(struct retained *r)
{
    if (r->head == r->batches.len) {
        buf_free(&r->batches);
        r->head = 0;
    } else if (r->head > r->batches.len / 2) {
        memmove(r->batches.data, r->batches.data + r->head, r->batches.len - r->head);
        r->batches.len -= r->head;
        r->head = 0;
    }
}

void client_retain_synced(struct client *c, uint64_t sequence)
{
    uint64_t at;
    struct slice payload;
    while (first(c, &at, &payload) && at < sequence)
        c->retained.head += HEAD + payload.len;
    tidy(&c->retained);
    client_pump(c);
}

void client_retain_drop(struct client *c)
{
    loop_cancel(c->loop, c->retained.timer);
    buf_free(&c->retained.batches);
    c->retained = (struct retained){.syncing = c->retained.syncing};
}

/* They stay until they are durable there. */
void client_retain_replay(struct client *c, uint64_t last)
{
    struct retained *r = &c->retained;
    uint64_t at;
    struct slice payload;
    client_retain_synced(c, last + 1);
    size_t head = r->head;
    for (; first(c, &at, &payload); r->head += HEAD + payload.len) {
        size_t mark = frame_begin(&c->out, MSG_REPLAY, 0);
        buf_append_slice(&c->out, payload);
        if (!MUTATION(MUTATION_NO_REPLAY))
            resend_keep(&c->resend, &c->out, mark);
        buf_clear(&c->out);
    }
    r->head = head;
    resend_keep(&c->resend, &c->out, frame_begin(&c->out, MSG_REPLAYED, 0));
    buf_clear(&c->out);
}
