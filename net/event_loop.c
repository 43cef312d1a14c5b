/* SPDX-License-Identifier: Apache-2.0 */
/* The real loop: libevent's timers, a queue of immediate calls, worker threads. */
#include <assert.h>
#include <event2/event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/busy_poll.h"
#include "net/event_internal.h"

#define STEPS_PER_TURN 8 /* of calls, each made by those of the one before */

struct event_loop {
    struct loop base;
    struct event_base *events;
    struct event *soon_event; /* active or added whenever `soon` is not empty */
    TAILQ_HEAD(, loop_event) soon;
    uint64_t soon_count; /* calls ever registered; numbers them */
    bool in_soon;
    bool stopped;
    bool finishing; /* stop when `streams` falls to 0 */
    size_t streams; /* that exist */
    struct busy_poll poll;
    uint64_t works;  /* counts what came from outside */
    uint64_t asleep; /* since then; 0: it is awake */
    size_t random_left;
    uint64_t random[64];
};

/* `timer` is NULL for an immediate call, which then is in the loop's `soon`. */
struct loop_event {
    struct event_loop *loop;
    struct event *timer;
    TAILQ_ENTRY(loop_event) link;
    uint64_t number;
    loop_fn *fn;
    void *cookie;
};

struct job {
    STAILQ_ENTRY(job) link;
    loop_fn *work;
    loop_fn *done;
    void *cookie;
};
STAILQ_HEAD(jobs, job);

/* `queue`, `finished` and `stop` belong to the mutex, `open` to the loop's thread. */
struct loop_worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct jobs queue;
    struct jobs finished;
    bool stop;
    size_t open; /* jobs whose done has not been called */
    int fd;      /* eventfd, readable when `finished` is not empty */
    struct event *event;
    char name[16];
};

static struct event_loop *loop_of(struct loop *loop)
{
    return (struct event_loop *)loop;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        log_fatal("clock_gettime: %m");
    return (uint64_t)t.tv_sec * LOOP_SEC + (uint64_t)t.tv_nsec;
}

static uint64_t real_now(struct loop *loop)
{
    return clock_ns(CLOCK_BOOTTIME);
}

static uint64_t real_wall(struct loop *loop)
{
    return clock_ns(CLOCK_REALTIME);
}

static uint64_t real_random(struct loop *base)
{
    struct event_loop *loop = loop_of(base);
    if (loop->random_left == 0) {
        /* Requests of at most 256 bytes are neither cut short nor interrupted. */
        for (size_t i = 0; i < sizeof(loop->random); i += 256)
            if (getrandom((char *)loop->random + i, 256, 0) != 256)
                log_fatal("getrandom: %m");
        loop->random_left = sizeof(loop->random) / sizeof(loop->random[0]);
    }
    return loop->random[--loop->random_left];
}

static void event_run(struct loop_event *event)
{
    loop_fn *fn = event->fn;
    void *cookie = event->cookie;
    free(event);
    fn(cookie);
}

static void timer_fired(evutil_socket_t fd, short what, void *cookie)
{
    struct loop_event *event = cookie;
    event_free(event->timer);
    event_run(event);
}

/* Each call registered by now runs. */
static void soon_run(struct event_loop *loop)
{
    uint64_t last = loop->soon_count;
    struct loop_event *event;

    while (!loop->stopped && (event = TAILQ_FIRST(&loop->soon)) && event->number <= last) {
        TAILQ_REMOVE(&loop->soon, event, link);
        event_run(event);
    }
}

/* Calls, those they register, and so on: a step of an answer need not wait until all sockets were
 * looked at. But they are not kept waiting either by calls that go on and on. */
static void soon_fired(evutil_socket_t fd, short what, void *cookie)
{
    struct event_loop *loop = cookie;

    loop->in_soon = true;
    for (int i = 0; i < STEPS_PER_TURN && !loop->stopped && !TAILQ_EMPTY(&loop->soon); i++)
        soon_run(loop);
    loop->in_soon = false;
    /* A timeout of zero, because event_active would run before any socket is looked at. */
    if (!TAILQ_EMPTY(&loop->soon))
        event_add(loop->soon_event, &(struct timeval){0});
}

static struct loop_event *real_timer(struct loop *base, uint64_t delay, loop_fn *fn, void *cookie)
{
    struct event_loop *loop = loop_of(base);
    struct loop_event *event = xcalloc(1, sizeof(*event));
    event->loop = loop;
    event->fn = fn;
    event->cookie = cookie;
    if (delay == 0) {
        event->number = ++loop->soon_count;
        if (TAILQ_EMPTY(&loop->soon) && !loop->in_soon)
            event_active(loop->soon_event, EV_TIMEOUT, 0);
        TAILQ_INSERT_TAIL(&loop->soon, event, link);
        return event;
    }
    /* Rounded up, and one microsecond more as libevent rounds the present down. */
    uint64_t us = delay / 1000 + 2;
    struct timeval tv = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    event->timer = evtimer_new(loop->events, timer_fired, event);
    if (!event->timer || evtimer_add(event->timer, &tv) != 0)
        log_fatal("cannot add a timer");
    return event;
}

static void real_cancel(struct loop *loop, struct loop_event *event)
{
    if (event->timer)
        event_free(event->timer);
    else
        TAILQ_REMOVE(&event->loop->soon, event, link);
    free(event);
}

static void *worker_main(void *cookie)
{
    struct loop_worker *worker = cookie;
    struct job *job;

    pthread_setname_np(pthread_self(), worker->name);
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        while (!(job = STAILQ_FIRST(&worker->queue)) && !worker->stop)
            pthread_cond_wait(&worker->wake, &worker->mutex);
        if (!job)
            break;
        STAILQ_REMOVE_HEAD(&worker->queue, link);
        pthread_mutex_unlock(&worker->mutex);
        job->work(job->cookie);
        pthread_mutex_lock(&worker->mutex);
        STAILQ_INSERT_TAIL(&worker->finished, job, link);
        if (eventfd_write(worker->fd, 1) != 0)
            log_fatal("worker %s: eventfd: %m", worker->name);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

/* The last done may free the worker; it is not touched after the list is empty. */
static void worker_finish(struct loop_worker *worker)
{
    struct jobs finished = STAILQ_HEAD_INITIALIZER(finished);
    struct job *job;

    pthread_mutex_lock(&worker->mutex);
    STAILQ_CONCAT(&finished, &worker->finished);
    pthread_mutex_unlock(&worker->mutex);
    while ((job = STAILQ_FIRST(&finished))) {
        loop_fn *done = job->done;
        void *job_cookie = job->cookie;
        STAILQ_REMOVE_HEAD(&finished, link);
        worker->open--;
        free(job);
        done(job_cookie);
    }
}

static void worker_fired(evutil_socket_t fd, short what, void *cookie)
{
    eventfd_t count;
    (void)eventfd_read(fd, &count);
    worker_finish(cookie);
}

static struct loop_worker *real_worker_new(struct loop *loop, const char *name)
{
    struct loop_worker *worker = xcalloc(1, sizeof(*worker));
    sigset_t all, old;

    STAILQ_INIT(&worker->queue);
    STAILQ_INIT(&worker->finished);
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->wake, NULL);
    strncpy(worker->name, name, sizeof(worker->name) - 1);
    worker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->fd < 0)
        log_fatal("eventfd: %m");
    worker->event =
        event_new(loop_of(loop)->events, worker->fd, EV_READ | EV_PERSIST, worker_fired, worker);
    if (!worker->event || event_add(worker->event, NULL) != 0)
        log_fatal("cannot watch a worker");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
        log_fatal("cannot start a thread");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return worker;
}

static void real_worker_run(struct loop_worker *worker, loop_fn *work, loop_fn *done, void *cookie)
{
    struct job *job = xcalloc(1, sizeof(*job));
    job->work = work;
    job->done = done;
    job->cookie = cookie;
    worker->open++;
    pthread_mutex_lock(&worker->mutex);
    STAILQ_INSERT_TAIL(&worker->queue, job, link);
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->mutex);
}

static void real_worker_free(struct loop_worker *worker)
{
    assert(worker->open == 0);
    pthread_mutex_lock(&worker->mutex);
    worker->stop = true;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->mutex);
    pthread_join(worker->thread, NULL);
    event_free(worker->event);
    close(worker->fd);
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
}

static const struct loop_ops event_loop_ops = {
    .now = real_now,
    .wall = real_wall,
    .random = real_random,
    .timer = real_timer,
    .cancel = real_cancel,
    .worker_new = real_worker_new,
    .worker_run = real_worker_run,
    .worker_free = real_worker_free,
};

static void libevent_log(int severity, const char *text)
{
    if (severity >= EVENT_LOG_WARN)
        log_warning("libevent: %s", text);
}

struct loop *event_loop_new(void)
{
    struct event_loop *loop = xcalloc(1, sizeof(*loop));
    struct event_config *config = event_config_new();

    event_set_log_callback(libevent_log);
    signal(SIGPIPE, SIG_IGN); /* a write to a closed socket is an error, not the end */
    loop->base.ops = &event_loop_ops;
    TAILQ_INIT(&loop->soon);
    if (config) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME); /* timers never early */
        loop->events = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (!loop->events)
        log_fatal("cannot make an event loop");
    loop->soon_event = event_new(loop->events, -1, 0, soon_fired, loop);
    if (!loop->soon_event)
        log_fatal("cannot make an event");
    return &loop->base;
}

void event_loop_free(struct loop *base)
{
    if (!base)
        return;
    struct event_loop *loop = loop_of(base);
    struct loop_event *event;
    while ((event = TAILQ_FIRST(&loop->soon)))
        real_cancel(base, event);
    event_free(loop->soon_event);
    event_base_free(loop->events);
    free(loop);
}

/* With one processor, who looks keeps those from it who would have something for us. */
static bool has_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) > 1;
}

void event_loop_poll(struct loop *base, uint64_t time)
{
    loop_of(base)->poll.time = has_processors() ? time : 0;
}

void event_loop_polls(struct loop *base, uint64_t *looks, uint64_t *finds)
{
    *looks = loop_of(base)->poll.looks;
    *finds = loop_of(base)->poll.finds;
}

void event_loop_works(struct loop *base)
{
    struct event_loop *loop = loop_of(base);

    loop->works++;
    if (loop->asleep)
        busy_poll_slept(&loop->poll, clock_ns(CLOCK_MONOTONIC) - loop->asleep);
    loop->asleep = 0;
}

static void turn(struct event_loop *loop, int flags)
{
    if (event_base_loop(loop->events, flags) < 0)
        log_fatal("the event loop failed");
}

/* False when nothing came. */
static bool look(struct event_loop *loop)
{
    uint64_t works = loop->works, until = clock_ns(CLOCK_MONOTONIC) + loop->poll.time;
    bool found;

    do {
        turn(loop, EVLOOP_NONBLOCK);
        found = loop->works != works || loop->stopped;
    } while (!found && clock_ns(CLOCK_MONOTONIC) < until);
    busy_poll_looked(&loop->poll, found);
    return found;
}

void event_loop_run(struct loop *base)
{
    struct event_loop *loop = loop_of(base);

    while (!loop->stopped) {
        if (busy_poll_wanted(&loop->poll) && look(loop))
            continue;
        if (loop->poll.time)
            loop->asleep = clock_ns(CLOCK_MONOTONIC);
        turn(loop, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    }
    loop->stopped = false;
    if (!TAILQ_EMPTY(&loop->soon)) /* left for a next run */
        event_add(loop->soon_event, &(struct timeval){0});
}

void event_loop_streams(struct loop *base, int change)
{
    struct event_loop *loop = loop_of(base);
    loop->streams += (size_t)change;
    if (loop->finishing && loop->streams == 0)
        event_loop_stop(base);
}

void event_loop_finish(struct loop *base, uint64_t max_time)
{
    struct event_loop *loop = loop_of(base);
    if (loop->streams == 0)
        return;
    loop->finishing = true;
    struct timeval t = {.tv_sec = (time_t)(max_time / LOOP_SEC),
                        .tv_usec = (suseconds_t)(max_time % LOOP_SEC / 1000)};
    event_base_loopexit(loop->events, &t);
    while (loop->streams > 0 && !event_base_got_exit(loop->events))
        if (event_base_loop(loop->events, EVLOOP_ONCE) < 0)
            log_fatal("the event loop failed");
    loop->finishing = loop->stopped = false;
}

void event_loop_stop(struct loop *base)
{
    loop_of(base)->stopped = true;
    event_base_loopbreak(loop_of(base)->events);
}

struct event_base *event_loop_base(struct loop *loop)
{
    return loop_of(loop)->events;
}
