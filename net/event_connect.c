/* SPDX-License-Identifier: Apache-2.0 */
/* The real network's connects: look-up, then each address in turn. */
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "net/event_internal.h"

#define CONNECT_TIME 10 /* seconds for each address */

/* looking: the resolver has it, and it cannot be freed before; then `cancelled` says what to do. */
struct connect_op {
    struct event_network *network;
    char *text;
    char *host;
    char *port;
    connect_done_fn *done;
    void *cookie;
    bool looking;
    bool cancelled;
    int lookup_error;
    struct addrinfo *found;
    struct address unix_address;
    const struct addrinfo *next; /* to be tried */
    struct loop_event *soon;
    int fd;
    struct event *event;
    struct buf why;
};

static void connect_drop_socket(struct connect_op *op)
{
    if (op->event)
        event_free(op->event);
    if (op->fd >= 0)
        close(op->fd);
    op->event = NULL;
    op->fd = -1;
}

static void connect_free(struct connect_op *op)
{
    loop_cancel(op->network->loop, op->soon);
    connect_drop_socket(op);
    if (op->found)
        freeaddrinfo(op->found);
    buf_free(&op->why);
    free(op->text);
    free(op->host);
    free(op->port);
    free(op);
}

static void connect_failed(struct connect_op *op)
{
    char *why = xasprintf("%.*s", (int)op->why.len, (const char *)op->why.data);
    connect_done_fn *done = op->done;
    void *cookie = op->cookie;
    connect_free(op);
    done(cookie, NULL, ECP_EUNREACHABLE, why);
    free(why);
}

static void connect_succeeded(struct connect_op *op)
{
    struct stream *stream = event_stream_new(op->network->loop, op->fd);
    connect_done_fn *done = op->done;
    void *cookie = op->cookie;
    op->fd = -1;
    connect_free(op);
    done(cookie, stream, 0, NULL);
}

static void connect_say(struct connect_op *op, const char *where, const char *why)
{
    buf_printf(&op->why, "%s%s: %s", op->why.len ? "; " : "", where, why);
}

static void connect_next(void *cookie);

/* The address being tried did not answer well. */
static void connect_try_failed(struct connect_op *op, int error)
{
    char where[NI_MAXHOST + NI_MAXSERV + 4];
    const struct addrinfo *tried = op->next;
    if (tried) {
        address_text(tried->ai_addr, tried->ai_addrlen, where, sizeof(where));
        op->next = tried->ai_next;
    } else {
        snprintf(where, sizeof(where), "%s", op->text);
    }
    connect_say(op, where, strerror(error));
    connect_drop_socket(op);
    if (op->next)
        op->soon = loop_soon(op->network->loop, connect_next, op);
    else
        connect_failed(op);
}

static void connect_ready(evutil_socket_t fd, short what, void *cookie)
{
    struct connect_op *op = cookie;
    int error = ETIMEDOUT;
    socklen_t len = sizeof(error);

    if (!(what & EV_TIMEOUT) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error) {
        connect_try_failed(op, error);
        return;
    }
    event_free(op->event);
    op->event = NULL;
    connect_succeeded(op);
}

static void connect_try(struct connect_op *op, const struct sockaddr *addr, socklen_t len)
{
    op->fd = socket(addr->sa_family, SOCK_STREAM | SOCKET_FLAGS, 0);
    if (op->fd < 0) {
        connect_try_failed(op, errno);
        return;
    }
    if (connect(op->fd, addr, len) == 0) {
        connect_succeeded(op);
        return;
    }
    if (errno != EINPROGRESS) {
        connect_try_failed(op, errno);
        return;
    }
    op->event = event_new(event_loop_base(op->network->loop), op->fd, EV_WRITE, connect_ready, op);
    if (!op->event || event_add(op->event, &(struct timeval){.tv_sec = CONNECT_TIME}) != 0)
        log_fatal("cannot watch a socket");
}

static void connect_next(void *cookie)
{
    struct connect_op *op = cookie;
    op->soon = NULL;
    if (op->next)
        connect_try(op, op->next->ai_addr, op->next->ai_addrlen);
    else if (op->unix_address.len > 0)
        connect_try(op, (struct sockaddr *)&op->unix_address.addr, op->unix_address.len);
    else
        connect_failed(op);
}

static void lookup_work(void *cookie)
{
    struct connect_op *op = cookie;
    op->lookup_error = address_look_up(op->host, op->port, AI_ADDRCONFIG, &op->found);
}

static void lookup_done(void *cookie)
{
    struct connect_op *op = cookie;
    struct event_network *network = op->network;
    network->lookups--;
    op->looking = false;
    if (op->cancelled) {
        connect_free(op);
        if (network->dying && network->lookups == 0)
            event_network_release(network);
        return;
    }
    if (op->lookup_error)
        connect_say(op, op->host, gai_strerror(op->lookup_error));
    op->next = op->found;
    connect_next(op);
}

static void connect_start(void *cookie)
{
    struct connect_op *op = cookie;
    struct event_network *network = op->network;
    op->soon = NULL;
    if (!network->resolver)
        network->resolver = loop_worker_new(network->loop, "resolver");
    op->looking = true;
    network->lookups++;
    loop_worker_run(network->loop, network->resolver, lookup_work, lookup_done, op);
}

void *event_connect(struct network *base, const char *address, connect_done_fn *done, void *cookie)
{
    struct event_network *network = (struct event_network *)base;
    struct connect_op *op = xcalloc(1, sizeof(*op));
    loop_fn *first = connect_next;

    op->network = network;
    op->text = xstrdup(address);
    op->done = done;
    op->cookie = cookie;
    op->fd = -1;
    if (address_is_unix(address)) {
        if (address_unix(address, &op->unix_address) != 0)
            connect_say(op, address, "no valid path of a socket");
    } else if (address_split(address, &op->host, &op->port) != 0) {
        connect_say(op, address, "not of the form HOST:PORT");
    } else if (address_look_up(op->host, op->port, AI_NUMERICHOST, &op->found) == 0) {
        op->next = op->found;
    } else {
        first = connect_start;
    }
    op->soon = loop_soon(network->loop, first, op);
    return op;
}

void event_connect_cancel(struct network *base, void *handle)
{
    struct connect_op *op = handle;
    if (op && op->looking)
        op->cancelled = true;
    else if (op)
        connect_free(op);
}
