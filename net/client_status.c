/* SPDX-License-Identifier: Apache-2.0 */
/* How the client's session is, as a user knows it. */
#include "net/client.h"

#include <stdlib.h>

static const char *state_of(const struct client *c)
{
    if (c->state == CLIENT_NORMAL)
        return "normal";
    if (c->session)
        return c->state == CLIENT_GREETING ? "recovery" : "trouble";
    return c->known || c->state == CLIENT_LOST ? "lost" : "connecting";
}

void client_status_changed(struct client *c, const char *why)
{
    const char *state = state_of(c);
    if (why) {
        free(c->last_error);
        c->last_error = xstrdup(why);
    }
    if (state == c->status)
        return;
    c->status = state;
    c->status_since = loop_wall(c->loop);
}

static uint64_t left(uint64_t end, uint64_t now)
{
    return end > now ? end - now : 0;
}

void client_status(const struct client *c, struct client_status *status)
{
    uint64_t now = loop_now(c->loop);
    *status = (struct client_status){.state = c->status,
                                     .since = c->status_since,
                                     .server = c->server,
                                     .session = c->session,
                                     .error = c->last_error ? c->last_error : "",
                                     .tries = c->tries,
                                     .lease = left(c->lease_end, now),
                                     .recovery = left(client_session_end(c), now),
                                     .updates = c->updates,
                                     .update_bytes = c->update_bytes};
}
