/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's clock, workers and network: delays and cuts of data are drawn from the seed. */
#include "tests/sim/sim.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/error.h"

struct loop_event {
    struct loop_event *next;
    uint64_t at;
    loop_fn *fn;
    void *cookie;
};

struct sim {
    struct loop loop;
    struct network network;
    uint64_t now, state, digest;
    struct loop_event *events; /* by time, then by order of registration */
    struct listener *listeners;
};

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    uint64_t z = (sim->state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return below ? z % below : z;
}

static struct sim *sim_of(struct loop *loop)
{
    return (struct sim *)loop;
}

static uint64_t op_now(struct loop *loop)
{
    return sim_of(loop)->now;
}

static uint64_t op_wall(struct loop *loop)
{
    return sim_of(loop)->now + UINT64_C(1700000000000000000);
}

static uint64_t op_random(struct loop *loop)
{
    return sim_random(sim_of(loop), 0);
}

static struct loop_event *op_timer(struct loop *loop, uint64_t delay, loop_fn *fn, void *cookie)
{
    struct sim *sim = sim_of(loop);
    struct loop_event *e = xcalloc(1, sizeof(*e)), **p = &sim->events;

    e->at = sim->now + delay;
    e->fn = fn;
    e->cookie = cookie;
    while (*p && (*p)->at <= e->at)
        p = &(*p)->next;
    e->next = *p;
    *p = e;
    return e;
}

static void op_cancel(struct loop *loop, struct loop_event *event)
{
    struct loop_event **p = &sim_of(loop)->events;

    while (*p != event)
        p = &(*p)->next;
    *p = event->next;
    free(event);
}

/* ---- workers: a job takes its time, then runs whole, then is reported ---- */

struct loop_worker {
    struct sim *sim;
    uint64_t busy_until;
};

struct job {
    struct sim *sim;
    loop_fn *work, *done;
    void *cookie;
};

static void job_done(void *cookie)
{
    struct job job = *(struct job *)cookie;

    free(cookie);
    job.done(job.cookie);
}

static void job_work(void *cookie)
{
    struct job *job = cookie;

    job->work(job->cookie);
    op_timer(&job->sim->loop, sim_random(job->sim, LOOP_MS), job_done, job);
}

static struct loop_worker *op_worker_new(struct loop *loop, const char *name)
{
    struct loop_worker *w = xcalloc(1, sizeof(*w));

    (void)name;
    w->sim = sim_of(loop);
    return w;
}

static void op_worker_run(struct loop_worker *w, loop_fn *work, loop_fn *done, void *cookie)
{
    struct job *job = xcalloc(1, sizeof(*job));
    struct sim *sim = w->sim;

    *job = (struct job){.sim = sim, .work = work, .done = done, .cookie = cookie};
    if (w->busy_until < sim->now)
        w->busy_until = sim->now;
    w->busy_until += 1 + sim_random(sim, 3 * LOOP_MS);
    op_timer(&sim->loop, w->busy_until - sim->now, job_work, job);
}

static void op_worker_free(struct loop_worker *w)
{
    free(w);
}

static const struct loop_ops loop_ops = {
    .now = op_now,
    .wall = op_wall,
    .random = op_random,
    .timer = op_timer,
    .cancel = op_cancel,
    .worker_new = op_worker_new,
    .worker_run = op_worker_run,
    .worker_free = op_worker_free,
};

/* ---- the network ---- */

struct listener {
    struct listener *next;
    char *address;
    accept_fn *accept;
    void *cookie;
};

/* One end of a connection. Lives until both ends were closed, as events in flight point to it. */
struct sim_stream {
    struct stream base;
    struct sim *sim;
    struct sim_stream *peer;
    const struct stream_events *events;
    void *cookie;
    struct buf in;   /* arrived, not consumed */
    struct buf wire; /* on its way to this end */
    size_t want;
    uint64_t quiet_until; /* time of the last delivery on its way: order is kept */
    unsigned in_flight;   /* events that point here */
    bool paused, closed, peer_closed, told;
};

static void present(struct sim_stream *s)
{
    while (!s->closed && s->events && !s->paused && s->in.len >= s->want && s->in.len > 0) {
        size_t before = s->in.len;
        size_t used = s->events->data(s->cookie, buf_slice(&s->in));
        if (s->closed)
            return;
        buf_consume(&s->in, used);
        if (s->in.len == before)
            break;
    }
    if (!s->closed && s->peer_closed && s->wire.len == 0 && !s->told && s->events) {
        s->told = true;
        s->events->closed(s->cookie, "the peer closed the connection");
    }
}

static void stream_reap(struct sim_stream *s)
{
    if (!s->closed || s->in_flight || (s->peer && !s->peer->closed))
        return;
    if (s->peer)
        s->peer->peer = NULL;
    struct sim_stream *peer = s->peer;
    buf_free(&s->in);
    buf_free(&s->wire);
    free(s);
    if (peer)
        stream_reap(peer);
}

static void deliver(void *cookie)
{
    struct sim_stream *s = cookie;
    size_t n = s->wire.len ? 1 + sim_random(s->sim, s->wire.len) : 0;

    s->in_flight--;
    if (!s->closed) {
        if (s->in_flight == 0)
            n = s->wire.len; /* the last event on its way brings all that is left */
        buf_append(&s->in, s->wire.data, n);
        buf_consume(&s->wire, n);
        s->in_flight++;
        present(s);
        s->in_flight--;
    }
    stream_reap(s);
}

static void schedule(struct sim_stream *to)
{
    struct sim *sim = to->sim;
    uint64_t at = sim->now + 1 + sim_random(sim, 2 * LOOP_MS);

    if (at < to->quiet_until)
        at = to->quiet_until;
    to->quiet_until = at;
    to->in_flight++;
    op_timer(&sim->loop, at - sim->now, deliver, to);
}

static struct sim_stream *stream_of(struct stream *s)
{
    return (struct sim_stream *)s;
}

static void st_start(struct stream *base, const struct stream_events *events, void *cookie)
{
    struct sim_stream *s = stream_of(base);

    s->events = events;
    s->cookie = cookie;
    schedule(s);
}

static void st_want(struct stream *s, size_t bytes)
{
    stream_of(s)->want = bytes ? bytes : 1;
}

static void st_write(struct stream *base, struct slice bytes)
{
    struct sim_stream *s = stream_of(base);

    if (!s->peer || s->peer->closed)
        return;
    buf_append_slice(&s->peer->wire, bytes);
    schedule(s->peer);
}

static size_t st_pending(struct stream *s)
{
    (void)s;
    return 0;
}

static void st_pause(struct stream *base, bool pause)
{
    struct sim_stream *s = stream_of(base);

    s->paused = pause;
    if (!pause)
        schedule(s);
}

static void st_close(struct stream *base)
{
    struct sim_stream *s = stream_of(base);

    s->closed = true;
    if (s->peer && !s->peer->closed) {
        s->peer->peer_closed = true;
        schedule(s->peer);
    }
    stream_reap(s);
}

static const char *st_peer(struct stream *s)
{
    (void)s;
    return "simulated";
}

static const struct stream_ops stream_ops = {
    .start = st_start,
    .want = st_want,
    .write = st_write,
    .pending = st_pending,
    .pause = st_pause,
    .close = st_close,
    .peer = st_peer,
};

static struct sim_stream *stream_new(struct sim *sim)
{
    struct sim_stream *s = xcalloc(1, sizeof(*s));

    s->base.ops = &stream_ops;
    s->sim = sim;
    s->want = 1;
    return s;
}

struct connecting {
    struct sim *sim;
    char *address;
    connect_done_fn *done;
    void *cookie;
    struct loop_event *event;
};

static void connect_now(void *cookie)
{
    struct connecting c = *(struct connecting *)cookie;
    struct listener *l = c.sim->listeners;
    struct sim_stream *a, *b;

    free(cookie);
    while (l && strcmp(l->address, c.address) != 0)
        l = l->next;
    free(c.address);
    if (!l) {
        c.done(c.cookie, NULL, ECP_EUNREACHABLE, "connection refused");
        return;
    }
    a = stream_new(c.sim);
    b = stream_new(c.sim);
    a->peer = b;
    b->peer = a;
    l->accept(l->cookie, &b->base);
    c.done(c.cookie, &a->base, 0, NULL);
}

static void *n_connect(struct network *n, const char *address, connect_done_fn *done, void *cookie)
{
    struct sim *sim = (struct sim *)((char *)n - offsetof(struct sim, network));
    struct connecting *c = xcalloc(1, sizeof(*c));

    *c = (struct connecting){
        .sim = sim, .address = xstrdup(address), .done = done, .cookie = cookie};
    c->event = op_timer(&sim->loop, 1 + sim_random(sim, LOOP_MS), connect_now, c);
    return c;
}

static void n_connect_cancel(struct network *n, void *handle)
{
    struct connecting *c = handle;

    (void)n;
    op_cancel(&c->sim->loop, c->event);
    free(c->address);
    free(c);
}

static int n_listen(struct network *n, const char *address, accept_fn *accept, void *cookie,
                    struct listener **listener, char **why)
{
    struct sim *sim = (struct sim *)((char *)n - offsetof(struct sim, network));
    struct listener *l = xcalloc(1, sizeof(*l));

    (void)why;
    *l = (struct listener){
        .next = sim->listeners, .address = xstrdup(address), .accept = accept, .cookie = cookie};
    sim->listeners = *listener = l;
    return 0;
}

static void n_unlisten(struct network *n, struct listener *listener)
{
    struct sim *sim = (struct sim *)((char *)n - offsetof(struct sim, network));
    struct listener **p = &sim->listeners;

    while (*p != listener)
        p = &(*p)->next;
    *p = listener->next;
    free(listener->address);
    free(listener);
}

static const struct network_ops network_ops = {
    .connect = n_connect,
    .connect_cancel = n_connect_cancel,
    .listen = n_listen,
    .unlisten = n_unlisten,
};

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = xcalloc(1, sizeof(*sim));

    sim->loop.ops = &loop_ops;
    sim->network.ops = &network_ops;
    sim->state = seed;
    sim->now = LOOP_SEC;
    return sim;
}

void sim_free(struct sim *sim)
{
    for (struct loop_event *e; (e = sim->events);) {
        sim->events = e->next;
        free(e);
    }
    free(sim);
}

struct loop *sim_loop(struct sim *sim)
{
    return &sim->loop;
}

struct network *sim_network(struct sim *sim)
{
    return &sim->network;
}

bool sim_step(struct sim *sim)
{
    struct loop_event *e = sim->events, copy;

    if (!e)
        return false;
    copy = *e;
    sim->events = e->next;
    sim->now = e->at;
    free(e);
    sim->digest = (sim->digest ^ copy.at) * UINT64_C(0x100000001B3);
    copy.fn(copy.cookie);
    return true;
}

uint64_t sim_digest(const struct sim *sim)
{
    return sim->digest;
}
