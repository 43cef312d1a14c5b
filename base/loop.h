/* SPDX-License-Identifier: Apache-2.0 */
/* The loop seam: time, timers, immediate calls, randomness and worker threads. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdint.h>

/*
 * Everything that must be decided by the simulator's seed passes through here: nothing in net,
 * cache, locks, server and store asks the system for time, randomness or a thread by itself.
 * Two implementations: net/event_loop.c (libevent) and tests/sim/process.c (virtual clock).
 *
 * A loop belongs to one thread; every function is called on it, except a worker's `work`.
 * Callbacks run from the loop, never from inside the call that registered them. Each fires at
 * most once and its handle is dead afterwards: do not cancel it then.
 */
struct loop;
struct loop_event;  /* a pending timer or immediate call */
struct loop_worker; /* a thread that does the jobs given to it one by one, in order */

typedef void loop_fn(void *cookie);

struct loop_ops {
    uint64_t (*now)(struct loop *loop);
    uint64_t (*wall)(struct loop *loop);
    uint64_t (*random)(struct loop *loop);
    struct loop_event *(*timer)(struct loop *loop, uint64_t delay, loop_fn *fn, void *cookie);
    void (*cancel)(struct loop *loop, struct loop_event *event);
    struct loop_worker *(*worker_new)(struct loop *loop, const char *name);
    void (*worker_run)(struct loop_worker *worker, loop_fn *work, loop_fn *done, void *cookie);
    void (*worker_free)(struct loop_worker *worker);
};

/* An implementation's own struct begins with this. */
struct loop {
    const struct loop_ops *ops;
};

#define LOOP_MS  UINT64_C(1000000)
#define LOOP_SEC UINT64_C(1000000000)

/* Nanoseconds of CLOCK_BOOTTIME: monotonic, goes on during suspend. */
static inline uint64_t loop_now(struct loop *loop)
{
    return loop->ops->now(loop);
}

/* Nanoseconds since the epoch; may jump. */
static inline uint64_t loop_wall(struct loop *loop)
{
    return loop->ops->wall(loop);
}

/* 64 unpredictable bits. */
static inline uint64_t loop_random(struct loop *loop)
{
    return loop->ops->random(loop);
}

/* Calls fn(cookie) once, delay nanoseconds from now or a little later. */
static inline struct loop_event *loop_timer(struct loop *loop, uint64_t delay, loop_fn *fn,
                                            void *cookie)
{
    return loop->ops->timer(loop, delay, fn, cookie);
}

/* Calls fn(cookie) once in this turn or the next, after the calls registered before it. */
static inline struct loop_event *loop_soon(struct loop *loop, loop_fn *fn, void *cookie)
{
    return loop->ops->timer(loop, 0, fn, cookie);
}

/* Forgets a pending timer or immediate call; NULL is allowed. */
static inline void loop_cancel(struct loop *loop, struct loop_event *event)
{
    if (event)
        loop->ops->cancel(loop, event);
}

/* A new worker thread; name (at most 15 bytes) is shown by ps -L. */
static inline struct loop_worker *loop_worker_new(struct loop *loop, const char *name)
{
    return loop->ops->worker_new(loop, name);
}

/* Queues a job: work(cookie) runs on the worker's thread, then done(cookie) on the loop. */
static inline void loop_worker_run(struct loop *loop, struct loop_worker *worker, loop_fn *work,
                                   loop_fn *done, void *cookie)
{
    loop->ops->worker_run(worker, work, done, cookie);
}

/* Ends the thread. Allowed only when every job's done has been called. */
static inline void loop_worker_free(struct loop *loop, struct loop_worker *worker)
{
    if (worker)
        loop->ops->worker_free(worker);
}

#endif
