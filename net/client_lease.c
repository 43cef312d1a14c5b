/* SPDX-License-Identifier: Apache-2.0 */
/* The client's lease: renewed by answers, ended by time or with the session; and invalidations. */
#include "net/client.h"
#include "base/mutation.h"

#include <assert.h>
#include <stdlib.h>

#define MARGIN_MAX     (500 * LOOP_MS) /* for clocks read and messages handled late */
#define DRIFT          1000            /* one part of so many that the two clocks may differ */
#define RELEASE_LEASES 8192            /* most in one frame */

void client_lease_lose(struct client *c)
{
    c->holding = false;
    c->renewed = c->lease_end = 0;
    if (c->config.lease_lost)
        c->config.lease_lost(c->config.cookie);
}

void client_lease_renew(struct client *c, uint64_t sent_at)
{
    uint64_t margin = c->term / 8 < MARGIN_MAX ? c->term / 8 : MARGIN_MAX;
    /* What was got under a lease that has run out must not come to life again under this one. */
    if (MUTATION(MUTATION_FROM_ANSWER))
        sent_at = loop_now(c->loop);
    if (c->holding && loop_now(c->loop) >= c->lease_end && !MUTATION(MUTATION_GAP))
        client_lease_lose(c);
    if (sent_at > c->known)
        c->known = sent_at;
    if (sent_at > c->renewed) {
        c->renewed = sent_at;
        c->lease_end = sent_at + c->term - c->term / DRIFT - margin;
    }
}

void client_lease_pages(struct client *c, struct page *pages, size_t count)
{
    bool valid = loop_now(c->loop) < c->lease_end;
    for (size_t i = 0; i < count; i++) {
        if (!valid)
            pages[i].lease = 0;
        c->holding = c->holding || pages[i].lease;
    }
}

uint64_t client_lease_end(const struct client *c)
{
    return MUTATION(MUTATION_NO_END) && c->lease_end ? UINT64_MAX / 2 : c->lease_end;
}

/* Counts the touches; and stores them unless touches is NULL. */
static int get_touches(struct slice payload, struct touch *touches, size_t *count)
{
    struct reader r = reader_of(payload);
    struct touch touch;
    int error;
    for (*count = 0; (error = msg_get_touch(&r, &touch)) == 0; ++*count)
        if (touches)
            touches[*count] = touch;
    return error == ECP_ENOENT && *count ? 0 : ECP_EPROTO;
}

int client_invalidate(struct client *c, const struct frame *frame)
{
    size_t count;
    uint64_t serial = c->serial_base + frame->id;
    if (serial < frame->id || serial <= c->serial_last || get_touches(frame->payload, NULL, &count))
        return ECP_EPROTO;
    c->serial_last = serial;
    if (!c->config.invalidate) {
        client_invalidated(c, serial);
        return 0;
    }
    struct touch *touches = xmalloc(count * sizeof *touches);
    get_touches(frame->payload, touches, &count);
    c->config.invalidate(c->config.cookie, serial, touches, count);
    free(touches);
    return 0;
}

void client_invalidated(struct client *c, uint64_t serial)
{
    assert(serial <= c->serial_last);
    if (c->state != CLIENT_LOST && serial > c->serial_base)
        client_send_kept(c, frame_begin(&c->out, MSG_INVALIDATED, serial - c->serial_base));
}

void client_release(struct client *c, const uint64_t *leases, size_t count)
{
    if (c->state == CLIENT_LOST)
        return;
    for (size_t at = 0, n; at < count; at += n) {
        n = count - at < RELEASE_LEASES ? count - at : RELEASE_LEASES;
        size_t mark = frame_begin(&c->out, MSG_RELEASE, 0);
        msg_put_release(&c->out, leases + at, n);
        client_send_kept(c, mark);
    }
}
