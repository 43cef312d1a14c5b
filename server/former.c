/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of before the start of the server. */
#include <stdlib.h>
#include "base/log.h"
#include "base/mutation.h"
#include "server/batch.h"
#include "server/former.h"
#include "server/locks.h"
#include "server/replay.h"

struct former {
    LIST_ENTRY(former) all;
    struct store_session known;
};

struct formers {
    struct backend *backend;
    struct loop *loop;
    LIST_HEAD(, former) away;
    LIST_HEAD(, session) back; /* and not done with what they have to say */
    size_t awaited;            /* of both, those which may have locks to declare */
    uint64_t time;             /* of the window */
    bool over;                 /* it was, once */
    struct loop_event *window;
};

static void drop(struct formers *f, struct former *former)
{
    f->awaited -= former->known.locks;
    if (former->known.retains)
        replay_await(f->backend->replay, -1);
    LIST_REMOVE(former, all);
    free(former);
}

/* When nobody is waited for any more, locks are served. */
static void look(struct formers *f)
{
    if (f->awaited == 0)
        locks_serve_all(f->backend->locks);
}

/* It is we who do not read on, since updates of it are under way; these wait for others. What else
 * keeps us from reading waits for what it owes. */
static bool held_up(const struct session *s)
{
    return s->paused && s->updates && !s->replaying;
}

/* One that has come back, and has not said all for which others wait. */
static struct session *owing(const struct formers *f, bool to_blame)
{
    struct session *s;

    LIST_FOREACH (s, &f->back, returned)
        if ((!s->declared || s->replaying) && s->state != SESSION_LEAVING &&
            !(to_blame && held_up(s)))
            return s;
    return NULL;
}

static void window_over(void *cookie);

/* Who is back has such a time once more. */
static void end_owing(struct formers *f)
{
    struct session *s;

    while (f->over && (s = owing(f, true)))
        session_cut(s, ECP_ETIMEOUT, "what it had before the restart was not declared in time");
    f->over = true;
    if (owing(f, false))
        f->window = loop_timer(f->loop, f->time, window_over, f);
}

static void window_over(void *cookie)
{
    struct formers *f = cookie;
    struct former *former;
    size_t count = 0;

    f->window = NULL;
    for (; (former = LIST_FIRST(&f->away)); count++) {
        store_session_end(f->backend->store, former->known.id);
        drop(f, former);
    }
    if (count)
        log_notice("%zu sessions did not come back after the restart and have ended", count);
    end_owing(f);
    look(f);
}

static void remember(void *cookie, const struct store_session *known)
{
    struct formers *f = cookie;
    struct former *former = xcalloc(1, sizeof(*former));

    former->known = *known;
    LIST_INSERT_HEAD(&f->away, former, all);
    f->awaited += known->locks;
    if (known->retains)
        replay_await(f->backend->replay, 1);
}

struct formers *formers_new(struct backend *backend, uint64_t window)
{
    struct formers *f = xcalloc(1, sizeof(*f));

    f->backend = backend;
    f->loop = backend->loop;
    f->time = window;
    store_sessions(backend->store, remember, f);
    if (!LIST_EMPTY(&f->away))
        f->window = loop_timer(f->loop, window, window_over, f);
    return f;
}

void formers_free(struct formers *f)
{
    struct former *former;

    loop_cancel(f->loop, f->window);
    while ((former = LIST_FIRST(&f->away)))
        drop(f, former);
    free(f);
}

bool former_resume(struct formers *f, struct session *session, uint64_t id, uint64_t secret)
{
    struct former *former;

    LIST_FOREACH (former, &f->away, all)
        if (former->known.id == id && former->known.secret == secret)
            break;
    if (!former)
        return false;
    session->id = id;
    session->secret = secret;
    session->last_sequence = former->known.last;
    session->known = session->recovered = session->skips = true;
    session->certain = former->known.retains || !session->retains;
    session->reclaiming = true;
    LIST_INSERT_HEAD(&f->back, session, returned);
    session->replaying = former->known.retains;
    f->awaited += !former->known.locks; /* it is waited for now, whatever it held */
    former->known.locks = false;
    LIST_REMOVE(former, all);
    free(former);
    return true;
}

void former_reclaimed(struct formers *f, struct session *session)
{
    if (!session->reclaiming)
        return;
    session->reclaiming = session->recovered = false;
    LIST_REMOVE(session, returned);
    if (server_stopping(session->server))
        return;
    f->awaited--;
    look(f);
}

bool formers_awaited(const struct formers *f)
{
    return f->awaited > 0 && !MUTATION(MUTATION_LOCK_GRACE);
}
