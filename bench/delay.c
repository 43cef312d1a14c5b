/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP proxy on 127.0.0.1 that gives every byte later, as a longer way would: delay PORT
 * MICROSECONDS, each way. Prints the port it listens on. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* One way of a connection. What was read waits in `parcels` until each one's time has come. */
struct way {
    struct bufferevent *from, *to;
    struct parcel {
        struct parcel *next;
        struct timeval due;
        struct evbuffer *bytes; /* NULL: the end of the connection */
    } * first, **last;
    struct event *timer;
    struct way *other;
};

static struct event_base *base;
static struct timeval delay;
static struct sockaddr_in server = {.sin_family = AF_INET};

static void way_free(struct way *w)
{
    while (w->first) {
        struct parcel *p = w->first;
        w->first = p->next;
        if (p->bytes)
            evbuffer_free(p->bytes);
        free(p);
    }
    event_free(w->timer);
    bufferevent_free(w->from);
    free(w);
}

static void wait_for_first(struct way *w)
{
    struct timeval left = {0}, time;

    evutil_gettimeofday(&time, NULL);
    if (evutil_timercmp(&w->first->due, &time, >))
        evutil_timersub(&w->first->due, &time, &left);
    event_add(w->timer, &left);
}

static void end(struct way *w)
{
    way_free(w->other);
    way_free(w);
}

static void written(struct bufferevent *to, void *cookie)
{
    end(cookie);
}

static void broken(struct bufferevent *to, short what, void *cookie)
{
    end(cookie);
}

/* One side has closed: what it said before still arrives. */
static void end_when_written(struct way *w)
{
    if (evbuffer_get_length(bufferevent_get_output(w->to)) == 0)
        end(w);
    else
        bufferevent_setcb(w->to, NULL, written, broken, w);
}

static void deliver(evutil_socket_t fd, short what, void *cookie)
{
    struct way *w = cookie;
    struct timeval time;

    evutil_gettimeofday(&time, NULL);
    while (w->first && !evutil_timercmp(&w->first->due, &time, >)) {
        struct parcel *p = w->first;
        if (!p->bytes) {
            end_when_written(w);
            return;
        }
        bufferevent_write_buffer(w->to, p->bytes);
        evbuffer_free(p->bytes);
        w->first = p->next;
        if (!w->first)
            w->last = &w->first;
        free(p);
    }
    if (w->first)
        wait_for_first(w);
}

static void send_later(struct way *w, struct evbuffer *bytes)
{
    struct parcel *p = calloc(1, sizeof(*p));

    if (!p)
        err(1, "memory");
    evutil_gettimeofday(&p->due, NULL);
    evutil_timeradd(&p->due, &delay, &p->due);
    p->bytes = bytes;
    *w->last = p;
    w->last = &p->next;
    if (w->first == p)
        wait_for_first(w);
}

static void readable(struct bufferevent *from, void *cookie)
{
    struct evbuffer *bytes = evbuffer_new();

    if (!bytes || bufferevent_read_buffer(from, bytes) < 0)
        errx(1, "memory");
    send_later(cookie, bytes);
}

static void happened(struct bufferevent *from, short what, void *cookie)
{
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    bufferevent_disable(from, EV_READ | EV_WRITE);
    send_later(cookie, NULL);
}

static struct way *way_new(struct bufferevent *from, struct bufferevent *to)
{
    struct way *w = calloc(1, sizeof(*w));

    if (!w)
        err(1, "memory");
    *w = (struct way){.from = from, .to = to};
    w->last = &w->first;
    w->timer = event_new(base, -1, 0, deliver, w);
    bufferevent_setcb(from, readable, NULL, happened, w);
    bufferevent_enable(from, EV_READ | EV_WRITE);
    return w;
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
                     int len, void *cookie)
{
    struct bufferevent *a = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    struct bufferevent *b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct way *there, *back;
    int on = 1;

    if (!a || !b || bufferevent_socket_connect(b, (struct sockaddr *)&server, sizeof(server)) < 0)
        errx(1, "cannot connect to port %d", ntohs(server.sin_port));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(bufferevent_getfd(b), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    there = way_new(a, b);
    back = way_new(b, a);
    there->other = back;
    back->other = there;
}

int main(int argc, char **argv)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct event_config *config = event_config_new();
    struct evconnlistener *listener;
    socklen_t len = sizeof(here);
    long us;

    if (argc != 3 || !config)
        errx(2, "usage: delay PORT MICROSECONDS");
    us = strtol(argv[2], NULL, 10);
    delay = (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* epoll alone counts in whole milliseconds */
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    base = event_base_new_with_config(config);
    listener =
        evconnlistener_new_bind(base, accepted, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 64,
                                (struct sockaddr *)&here, sizeof(here));
    if (!listener || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&here, &len))
        err(1, "cannot listen");
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    return event_base_dispatch(base) < 0;
}
