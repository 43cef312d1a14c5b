/* SPDX-License-Identifier: Apache-2.0 */
/* What of the client's session outlives its connections, and for how long. */
#include "base/mutation.h"
#include "net/client.h"

#define MARGIN (500 * LOOP_MS)
#define DRIFT  1000 /* one part of so many that the two clocks may differ */

void client_session_lose(struct client *c)
{
    loop_cancel(c->loop, c->window);
    c->window = NULL;
    if (!c->session)
        return;
    c->session = c->secret = 0;
    client_status_changed(c, NULL);
    client_lease_lose(c);
    client_end_sent(c);
    resend_clear(&c->resend);
    client_retain_drop(c);
    if (c->config.session_lost && !MUTATION(MUTATION_LOCK_LOST))
        c->config.session_lost(c->config.cookie);
}

/* The server, which counts from when it noticed, does not end it before. */
static void window_over(void *cookie)
{
    struct client *c = cookie;
    c->window = NULL;
    client_session_lose(c);
}

void client_session_away(struct client *c)
{
    uint64_t now = loop_now(c->loop), margin = c->recovery / 8 < MARGIN ? c->recovery / 8 : MARGIN;
    uint64_t end = c->known + c->recovery - c->recovery / DRIFT - margin;
    if (!c->session || c->window)
        return;
    if (c->config.recovery && end > now + c->config.recovery)
        end = now + c->config.recovery;
    c->window_end = end;
    c->window = loop_timer(c->loop, end > now ? end - now : 0, window_over, c);
}

uint64_t client_session_end(const struct client *c)
{
    uint64_t most = c->config.recovery ? c->config.recovery : UINT64_MAX;
    if (!c->session || c->window)
        return c->session ? c->window_end : 0;
    return loop_now(c->loop) + (c->recovery < most ? c->recovery : most);
}

/* The session is known, but the locks, the leases and what was on its way are not. */
static void restarted(struct client *c, const struct msg_welcome *m)
{
    client_lease_lose(c);
    c->serial_base = c->serial_last;
    resend_clear(&c->resend);
    if (m->replay)
        client_retain_replay(c, m->last);
    else
        client_retain_drop(c);
    client_reclaim(c);
}

/*
 * A server started anew knows the sessions of which anything is on disk. Of one that it does not
 * know, and of which nothing was answered, nothing was done; so all of it can be done in the next.
 */
static bool was_lost_whole(const struct client *c, const struct msg_welcome *m)
{
    return c->session && !c->proven && m->instance != c->instance;
}

static void begin(struct client *c, const struct msg_welcome *m)
{
    bool again = was_lost_whole(c, m);
    if (again)
        client_renumber(c);
    else
        client_session_lose(c);
    c->session = m->session;
    c->secret = m->secret;
    c->proven = false;
    c->last_sequence = 0;
    c->serial_base = c->serial_last;
    if (again)
        restarted(c, m);
}

int client_session_welcome(struct client *c, const struct msg_welcome *m)
{
    if (m->session != c->session && m->session == c->asked_session)
        return ECP_ETIMEOUT; /* its calls have been told its end: another must begin */
    if (m->session != c->session) {
        begin(c, m);
    } else if (m->instance != c->instance) {
        c->proven = true;
        restarted(c, m);
    } else if (resend_had(&c->resend, m->received)) {
        return ECP_EPROTO;
    }
    c->instance = m->instance;
    c->retained.wanted = m->retain;
    loop_cancel(c->loop, c->window);
    c->window = NULL;
    c->term = m->lease_ms * LOOP_MS;
    c->recovery = m->recovery_ms * LOOP_MS;
    return 0;
}
