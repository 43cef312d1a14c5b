/* SPDX-License-Identifier: Apache-2.0 */
/* The real network: connects and listens on TCP and unix sockets. */
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "net/event_internal.h"

#define CONNECT_TIME 10 /* seconds for each address */
#define ACCEPT_PAUSE (100 * LOOP_MS)
#define BACKLOG      512
#define LISTEN_MAX   16 /* addresses of one listener */
#define SOCKET_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)
#define UNIX_PREFIX  "unix:"

struct event_network {
    struct network base;
    struct loop *loop;
    struct loop_worker *resolver; /* made at the first look-up */
    size_t lookups;               /* under way in the resolver */
    bool dying;                   /* freed when the last look-up ends */
};

struct address {
    struct sockaddr_storage addr;
    socklen_t len;
};

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

struct socket_listener {
    struct listener *owner;
    struct evconnlistener *listener;
    struct loop_event *retry;
};

struct listener {
    struct event_network *network;
    accept_fn *accept;
    void *cookie;
    struct socket_listener sockets[LISTEN_MAX];
    size_t count;
    int port;
    char *path; /* of a unix socket; inode tells whether it is still ours */
    dev_t device;
    ino_t inode;
};

static bool is_unix(const char *text)
{
    return strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
}

static int unix_address(const char *text, struct address *address)
{
    const char *path = text + strlen(UNIX_PREFIX);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(sun.sun_path))
        return ECP_EINVAL;
    strcpy(sun.sun_path, path);
    memcpy(&address->addr, &sun, sizeof(sun));
    address->len = sizeof(sun);
    return 0;
}

/* Splits "HOST:PORT" or "[V6]:PORT"; caller frees both. */
static int split_address(const char *text, char **host, char **port)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1] ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
        atoi(colon + 1) > 65535)
        return ECP_EINVAL;
    bool bracket = text[0] == '[';
    if (bracket ? colon - text < 3 || colon[-1] != ']' : strchr(text, ':') != colon)
        return ECP_EINVAL;
    *host = bracket ? xasprintf("%.*s", (int)(colon - text - 2), text + 1)
                    : xasprintf("%.*s", (int)(colon - text), text);
    *port = xstrdup(colon + 1);
    return 0;
}

static int look_up(const char *host, const char *port, int flags, struct addrinfo **found)
{
    struct addrinfo hints = {
        .ai_flags = AI_NUMERICSERV | flags,
        .ai_socktype = SOCK_STREAM,
        .ai_protocol = IPPROTO_TCP,
    };
    *found = NULL;
    return getaddrinfo(host, port, &hints, found);
}

static void address_text(const struct sockaddr *addr, socklen_t len, char *text, size_t size)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (addr->sa_family == AF_UNIX)
        snprintf(text, size, "%s", ((const struct sockaddr_un *)addr)->sun_path);
    else if (getnameinfo(addr, len, host, sizeof(host), port, sizeof(port),
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(text, size, addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    else
        snprintf(text, size, "?");
}

/* Connecting */

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
    op->lookup_error = look_up(op->host, op->port, AI_ADDRCONFIG, &op->found);
}

static void network_release(struct event_network *network)
{
    loop_worker_free(network->loop, network->resolver);
    free(network);
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
            network_release(network);
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

static void *real_connect(struct network *base, const char *address, connect_done_fn *done,
                          void *cookie)
{
    struct event_network *network = (struct event_network *)base;
    struct connect_op *op = xcalloc(1, sizeof(*op));
    loop_fn *first = connect_next;

    op->network = network;
    op->text = xstrdup(address);
    op->done = done;
    op->cookie = cookie;
    op->fd = -1;
    if (is_unix(address)) {
        if (unix_address(address, &op->unix_address) != 0)
            connect_say(op, address, "no valid path of a socket");
    } else if (split_address(address, &op->host, &op->port) != 0) {
        connect_say(op, address, "not of the form HOST:PORT");
    } else if (look_up(op->host, op->port, AI_NUMERICHOST, &op->found) == 0) {
        op->next = op->found;
    } else {
        first = connect_start;
    }
    op->soon = loop_soon(network->loop, first, op);
    return op;
}

static void real_connect_cancel(struct network *base, void *handle)
{
    struct connect_op *op = handle;
    if (op && op->looking)
        op->cancelled = true;
    else if (op)
        connect_free(op);
}

/* Listening */

static void accepted(struct evconnlistener *evl, evutil_socket_t fd, struct sockaddr *addr, int len,
                     void *cookie)
{
    struct listener *listener = ((struct socket_listener *)cookie)->owner;
    listener->accept(listener->cookie, event_stream_new(listener->network->loop, fd));
}

static void accept_again(void *cookie)
{
    struct socket_listener *s = cookie;
    s->retry = NULL;
    evconnlistener_enable(s->listener);
}

/* Most likely out of descriptors: trying at once again would only burn time. */
static void accept_failed(struct evconnlistener *evl, void *cookie)
{
    struct socket_listener *s = cookie;
    log_error("cannot accept a connection: %s", strerror(EVUTIL_SOCKET_ERROR()));
    evconnlistener_disable(evl);
    if (!s->retry)
        s->retry = loop_timer(s->owner->network->loop, ACCEPT_PAUSE, accept_again, s);
}

static int listen_error(char **why, const char *where, const char *what, int error)
{
    *why = xasprintf("cannot listen on %s: %s: %s", where, what, strerror(error));
    return error == EADDRINUSE ? ECP_EBUSY : ECP_EUNREACHABLE;
}

static void listener_add(struct listener *listener, int fd)
{
    struct socket_listener *s = &listener->sockets[listener->count++];
    s->owner = listener;
    s->listener = evconnlistener_new(event_loop_base(listener->network->loop), accepted, s,
                                     LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!s->listener)
        log_fatal("cannot watch a socket");
    evconnlistener_set_error_cb(s->listener, accept_failed);
}

/* 0 or an errno; the listener has one socket more. */
static int listen_tcp_one(struct listener *listener, struct addrinfo *a)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    in_port_t *port = a->ai_family == AF_INET6 ? &((struct sockaddr_in6 *)a->ai_addr)->sin6_port
                                               : &((struct sockaddr_in *)a->ai_addr)->sin_port;
    int on = 1;

    if (listener->count == LISTEN_MAX)
        return E2BIG;
    if (*port == 0) /* the others get the port that the first was given */
        *port = htons((uint16_t)listener->port);
    int fd = socket(a->ai_family, SOCK_STREAM | SOCKET_FLAGS, 0);
    if (fd < 0)
        return errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        int error = errno;
        close(fd);
        return error;
    }
    listener->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                       : ((struct sockaddr_in *)&bound)->sin_port);
    listener_add(listener, fd);
    return 0;
}

static int listen_tcp(struct listener *listener, const char *text, char **why)
{
    char *host, *port;
    char where[NI_MAXHOST + NI_MAXSERV + 4];
    struct addrinfo *found;
    int unusable = 0;

    if (split_address(text, &host, &port) != 0)
        return listen_error(why, text, "not of the form HOST:PORT", EINVAL);
    int e = look_up(host, port, AI_PASSIVE, &found);
    free(host);
    free(port);
    if (e) {
        *why = xasprintf("cannot listen on %s: %s", text, gai_strerror(e));
        return ECP_EUNREACHABLE;
    }
    for (struct addrinfo *a = found; a; a = a->ai_next) {
        e = listen_tcp_one(listener, a);
        if (e == EADDRNOTAVAIL || e == EAFNOSUPPORT) {
            unusable = e; /* "localhost" where IPv6 is off */
        } else if (e) {
            address_text(a->ai_addr, a->ai_addrlen, where, sizeof(where));
            freeaddrinfo(found);
            return listen_error(why, text, where, e);
        }
    }
    freeaddrinfo(found);
    return listener->count ? 0 : listen_error(why, text, "address", unusable);
}

/* Whether nobody listens at a socket file that exists. */
static bool unix_stale(const struct address *address, const char *path)
{
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (const struct sockaddr *)&address->addr, address->len) != 0 &&
                 errno == ECONNREFUSED && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
    close(fd);
    return stale;
}

static int listen_unix(struct listener *listener, const char *text, char **why)
{
    const char *path = text + strlen(UNIX_PREFIX);
    struct address address;
    struct stat st;

    if (unix_address(text, &address) != 0)
        return listen_error(why, text, "path", ENAMETOOLONG);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0);
    if (fd < 0)
        return listen_error(why, text, "socket", errno);
    const struct sockaddr *addr = (const struct sockaddr *)&address.addr;
    int e = bind(fd, addr, address.len) == 0 ? 0 : errno;
    if (e == EADDRINUSE && unix_stale(&address, path)) {
        log_notice("replacing the stale socket %s", path);
        e = unlink(path) == 0 && bind(fd, addr, address.len) == 0 ? 0 : errno;
    }
    if (!e && (lstat(path, &st) != 0 || chmod(path, 0666) != 0 || listen(fd, BACKLOG) != 0)) {
        e = errno;
        unlink(path);
    }
    if (e) {
        close(fd);
        return listen_error(why, text, "socket", e);
    }
    listener->path = xstrdup(path);
    listener->device = st.st_dev;
    listener->inode = st.st_ino;
    listener_add(listener, fd);
    return 0;
}

static void real_unlisten(struct network *base, struct listener *listener)
{
    struct stat st;
    if (!listener)
        return;
    for (size_t i = 0; i < listener->count; i++) {
        loop_cancel(listener->network->loop, listener->sockets[i].retry);
        evconnlistener_free(listener->sockets[i].listener);
    }
    if (listener->path && lstat(listener->path, &st) == 0 && st.st_dev == listener->device &&
        st.st_ino == listener->inode)
        unlink(listener->path);
    free(listener->path);
    free(listener);
}

static int real_listen(struct network *base, const char *address, accept_fn *accept_done,
                       void *cookie, struct listener **out, char **why)
{
    struct listener *listener = xcalloc(1, sizeof(*listener));
    listener->network = (struct event_network *)base;
    listener->accept = accept_done;
    listener->cookie = cookie;
    *why = NULL;
    int e =
        is_unix(address) ? listen_unix(listener, address, why) : listen_tcp(listener, address, why);
    if (e) {
        real_unlisten(base, listener);
        listener = NULL;
    }
    *out = listener;
    return e;
}

static const struct network_ops event_network_ops = {
    .connect = real_connect,
    .connect_cancel = real_connect_cancel,
    .listen = real_listen,
    .unlisten = real_unlisten,
};

struct network *event_network_new(struct loop *loop)
{
    struct event_network *network = xcalloc(1, sizeof(*network));
    network->base.ops = &event_network_ops;
    network->loop = loop;
    return &network->base;
}

/* A cancelled look-up cannot be interrupted: then the last one frees, if the loop still runs. */
void event_network_free(struct network *base)
{
    struct event_network *network = (struct event_network *)base;
    if (!network)
        return;
    network->dying = true;
    if (network->lookups == 0)
        network_release(network);
}

int event_listener_port(const struct listener *listener)
{
    return listener->port;
}
