/* SPDX-License-Identifier: Apache-2.0 */
/* The mount's locks as a whole: what the session says of them, their figures, beginning and end. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "fs/lock_ask.h"

void locks_said(struct locks *l, bool lost, uint64_t owner, struct slice name)
{
    if (lost)
        lock_held_lost(l->at_server, owner, name);
    lock_client_said(l->client, lost, owner, name);
}

/* What is kept for nobody is not wanted from the new server. */
void locks_reclaim(struct locks *l)
{
    lock_client_give_back(l->client);
    lock_held_reclaim(l->at_server);
}

void locks_disconnected(struct locks *l)
{
    lock_held_session_lost(l->at_server);
    lock_client_lost(l->client);
}

void locks_time_out(struct locks *l)
{
    struct lock_ask *ask;

    TAILQ_FOREACH (ask, &l->asks, all) {
        if (ask->call)
            lock_client_cancel(l->client, ask->call);
        lock_ask_reply(ask, ask->kind == ASK_LOCK ? EIO : 0);
    }
}

static void lines(void *cookie, struct buf *out)
{
    const struct locks *l = cookie;
    const struct lock_client_stats *s = lock_client_stats(l->client);
    const struct lock_ask *ask;
    size_t waiting = 0;

    TAILQ_FOREACH (ask, &l->asks, all)
        waiting += ask->call != NULL;
    buf_printf(out,
               "locks_held %zu\nlocks_waiting %zu\nlocks_delegated %zu\nlocks_local %" PRIu64
               "\nlocks_passed %" PRIu64 "\nlocks_asked %" PRIu64 "\nlocks_recalled %" PRIu64
               "\nlocks_lost %" PRIu64 "\n",
               l->held, waiting, s->idle, s->local, s->passed, s->asked, s->recalled, l->lost);
}

struct locks *locks_new(struct fs *fs, struct client *net)
{
    struct locks *l = xcalloc(1, sizeof(*l));
    struct lock_upstream up;

    l->fs = fs;
    l->net = net;
    RB_INIT(&l->holds);
    TAILQ_INIT(&l->asks);
    gethostname(l->host, sizeof(l->host) - 1);
    l->at_server = lock_net_held(l);
    up = lock_held_upstream(l->at_server);
    l->client = lock_client_new(fs->loop, &up);
    control_add(fs, CONTROL_STATS, lines, l);
    return l;
}

void locks_free(struct locks *l)
{
    struct lock_ask *ask;
    struct lock_hold *hold;

    while ((ask = TAILQ_FIRST(&l->asks)))
        lock_ask_free(ask);
    while ((hold = RB_ROOT(&l->holds)))
        lock_hold_free(l, hold);
    lock_client_free(l->client);
    lock_held_free(l->at_server);
    free(l);
}
