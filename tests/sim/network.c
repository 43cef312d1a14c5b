/* SPDX-License-Identifier: Apache-2.0 */
/* Streams between simulated processes: bytes on their way, and what may befall them. */
#include "tests/sim/network.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/error.h"

/*
 * One end of a connection. Lives until both ends were closed, as events in flight point to it.
 * The wire holds what is on its way to this end; each delivery, an event of its process, brings
 * some of it, and the last one all. While the process is cut off nothing is scheduled.
 */
struct end {
    struct stream base;
    struct process *process;
    struct end *peer;
    struct end *next; /* of its process */
    const struct stream_events *events;
    void *cookie;
    struct buf in;   /* arrived, not consumed */
    struct buf wire; /* on its way to this end */
    size_t want;
    uint64_t quiet_until; /* no delivery before; so order is kept */
    unsigned in_flight;   /* deliveries, and the accept event, that point here */
    bool paused, closed, told;
    bool peer_closed; /* to be told when all on the wire has come */
    bool dead;        /* what is written here vanishes */
};

static void present(struct end *s)
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

static void unlink_end(struct end *s)
{
    struct end **at = &s->process->ends;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
}

static void reap(struct end *s)
{
    if (!s->closed || s->in_flight || (s->peer && !s->peer->closed))
        return;
    struct end *peer = s->peer;
    if (peer)
        peer->peer = NULL;
    buf_free(&s->in);
    buf_free(&s->wire);
    free(s);
    if (peer)
        reap(peer);
}

/* Whether nothing passes on the way to this end. */
static bool blocked(const struct end *to)
{
    return to->process->cut_in || (to->peer && to->peer->process->cut_out);
}

static void deliver(void *cookie)
{
    struct end *s = cookie;
    size_t n = s->wire.len ? 1 + world_random(s->process->world, s->wire.len) : 0;
    if (!s->closed && !blocked(s)) {
        if (s->in_flight == 1)
            n = s->wire.len;
        buf_append(&s->in, s->wire.data, n);
        buf_consume(&s->wire, n);
        present(s);
    }
    s->in_flight--;
    reap(s);
}

static void schedule(struct end *to)
{
    struct world *world = to->process->world;
    uint64_t way = to->process->way;
    if (to->peer && to->peer->process->way > way)
        way = to->peer->process->way;
    uint64_t at = world->now + 1 + world_random(world, way);
    if (to->closed || blocked(to))
        return;
    if (at < to->quiet_until)
        at = to->quiet_until;
    to->quiet_until = at;
    to->in_flight++;
    process_at(to->process, at, deliver, to);
}

static struct end *end_of(struct stream *s)
{
    return (struct end *)s;
}

static void st_start(struct stream *base, const struct stream_events *events, void *cookie)
{
    struct end *s = end_of(base);
    s->events = events;
    s->cookie = cookie;
    schedule(s);
}

static void st_want(struct stream *s, size_t bytes)
{
    end_of(s)->want = bytes ? bytes : 1;
}

static void st_write(struct stream *base, struct slice bytes)
{
    struct end *s = end_of(base);
    if (s->dead || !s->peer || s->peer->closed)
        return;
    buf_append_slice(&s->peer->wire, bytes);
    schedule(s->peer);
}

static size_t st_pending(struct stream *s)
{
    return 0;
}

static void st_pause(struct stream *base, bool pause)
{
    struct end *s = end_of(base);
    s->paused = pause;
    if (!pause)
        schedule(s);
}

static void st_close(struct stream *base)
{
    struct end *s = end_of(base);
    s->closed = true;
    unlink_end(s);
    if (s->peer && !s->peer->closed && !s->dead) {
        s->peer->peer_closed = true;
        schedule(s->peer);
    }
    reap(s);
}

static const char *st_peer(struct stream *s)
{
    struct end *peer = end_of(s)->peer;
    return peer ? peer->process->name : "gone";
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

static struct end *end_new(struct process *p)
{
    struct end *s = xcalloc(1, sizeof(*s));
    s->base.ops = &stream_ops;
    s->process = p;
    s->want = 1;
    s->next = p->ends;
    p->ends = s;
    return s;
}

/* Connecting */

struct arrival {
    struct arrival *next;
    struct listener *listener;
    struct end *end;
    struct loop_event *event;
};

struct listener {
    struct listener *next;
    struct process *process;
    struct arrival *arrivals; /* to be accepted */
    char *address;
    accept_fn *accept;
    void *cookie;
};

struct connecting {
    struct process *process;
    char *address;
    connect_done_fn *done;
    void *cookie;
    struct loop_event *event;
};

static void arrival_free(struct arrival *a)
{
    struct arrival **at = &a->listener->arrivals;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    free(a);
}

static void accept_now(void *cookie)
{
    struct arrival *a = cookie;
    struct listener *l = a->listener;
    struct end *s = a->end;
    arrival_free(a);
    l->accept(l->cookie, &s->base);
}

static void arrive(struct listener *l, struct end *s)
{
    struct arrival *a = xcalloc(1, sizeof(*a));
    struct world *world = l->process->world;
    *a = (struct arrival){.next = l->arrivals, .listener = l, .end = s};
    l->arrivals = a;
    a->event = process_at(l->process, world->now + world_random(world, LOOP_MS), accept_now, a);
}

static void connect_now(void *cookie)
{
    struct connecting *at = cookie, c = *at;
    struct world *world = c.process->world;
    struct listener *l = world->listeners;
    while (l && strcmp(l->address, c.address) != 0)
        l = l->next;
    bool cut = c.process->cut_in || c.process->cut_out;
    if (cut || (l && (l->process->cut_in || l->process->cut_out))) {
        at->event = process_at(c.process, world->now + 20 * LOOP_MS, connect_now, at);
        return;
    }
    free(at->address);
    free(at);
    if (!l) {
        c.done(c.cookie, NULL, ECP_EUNREACHABLE, "connection refused");
        return;
    }
    struct end *a = end_new(c.process), *b = end_new(l->process);
    a->peer = b;
    b->peer = a;
    arrive(l, b);
    c.done(c.cookie, &a->base, 0, NULL);
}

static struct process *process_of(struct network *n)
{
    return (struct process *)((char *)n - offsetof(struct process, network));
}

static void *n_connect(struct network *n, const char *address, connect_done_fn *done, void *cookie)
{
    struct process *p = process_of(n);
    struct connecting *c = xcalloc(1, sizeof(*c));
    *c = (struct connecting){
        .process = p, .address = xstrdup(address), .done = done, .cookie = cookie};
    c->event = loop_timer(&p->loop, 1 + world_random(p->world, LOOP_MS), connect_now, c);
    return c;
}

static void n_connect_cancel(struct network *n, void *handle)
{
    struct connecting *c = handle;
    loop_cancel(&c->process->loop, c->event);
    free(c->address);
    free(c);
}

static int n_listen(struct network *n, const char *address, accept_fn *accept, void *cookie,
                    struct listener **listener, char **why)
{
    struct process *p = process_of(n);
    struct listener *l = xcalloc(1, sizeof(*l));
    *l = (struct listener){.next = p->world->listeners,
                           .process = p,
                           .address = xstrdup(address),
                           .accept = accept,
                           .cookie = cookie};
    p->world->listeners = *listener = l;
    return 0;
}

static void n_unlisten(struct network *n, struct listener *listener)
{
    struct process *p = process_of(n);
    struct listener **at = &p->world->listeners;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    while (listener->arrivals) {
        struct end *s = listener->arrivals->end;
        loop_cancel(&p->loop, listener->arrivals->event);
        arrival_free(listener->arrivals);
        st_close(&s->base);
    }
    free(listener->address);
    free(listener);
}

const struct network_ops sim_network_ops = {
    .connect = n_connect,
    .connect_cancel = n_connect_cancel,
    .listen = n_listen,
    .unlisten = n_unlisten,
};

/* Faults */

struct end *net_pick(struct process *p)
{
    size_t n = 0;
    struct end *s;
    for (s = p->ends; s; s = s->next)
        n++;
    n = n ? world_random(p->world, n) : 0;
    for (s = p->ends; s && n; s = s->next)
        n--;
    return s;
}

static void tear(struct end *s, bool tell)
{
    s->dead = true;
    if (s->closed)
        return;
    if (s->wire.len)
        s->wire.len = world_random(s->process->world, s->wire.len + 1);
    if (tell) {
        s->peer_closed = true;
        schedule(s);
    }
}

void net_break(struct end *end, enum net_break how)
{
    struct end *peer = end->peer;
    if (peer)
        tear(peer, how == BREAK_BOTH || how == BREAK_THAT_TOLD);
    tear(end, how == BREAK_BOTH || how == BREAK_THIS_TOLD);
}

static void delay_until(struct end *s, uint64_t until)
{
    if (s && until > s->quiet_until)
        s->quiet_until = until;
}

void net_delay(struct end *end, uint64_t time, bool in, bool out)
{
    uint64_t until = end->process->world->now + time;
    if (in)
        delay_until(end, until);
    if (out)
        delay_until(end->peer, until);
}

void net_partition(struct process *p, bool in, bool out)
{
    p->cut_in = in;
    p->cut_out = out;
    for (struct end *s = p->ends; s; s = s->next) {
        if (!blocked(s))
            schedule(s);
        if (s->peer && !s->peer->closed && !blocked(s->peer))
            schedule(s->peer);
    }
}

void net_crash(struct process *p)
{
    for (struct end *s = p->ends; s; s = s->next)
        net_break(s, world_chance(p->world, 1, 3) ? BREAK_SILENT : BREAK_THAT_TOLD);
}
