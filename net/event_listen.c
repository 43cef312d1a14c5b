/* SPDX-License-Identifier: Apache-2.0 */
/* The real network's listeners, on TCP and unix sockets. */
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "net/event_internal.h"

#define ACCEPT_PAUSE (100 * LOOP_MS)
#define SAID_PAUSE   (10 * LOOP_SEC) /* between log lines about accepts that fail */
#define BACKLOG      512
#define LISTEN_MAX   16 /* addresses of one listener */

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
    uint64_t said; /* loop_now of the last such line; 0: none yet */
    int port;
    char *path; /* of a unix socket; inode tells whether it is still ours */
    dev_t device;
    ino_t inode;
};

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
    struct listener *listener = s->owner;
    int error = EVUTIL_SOCKET_ERROR();
    uint64_t now = loop_now(listener->network->loop);
    if (!listener->said || now - listener->said >= SAID_PAUSE) {
        log_error("cannot accept a connection: %s; trying again", strerror(error));
        listener->said = now;
    }
    evconnlistener_disable(evl);
    if (!s->retry)
        s->retry = loop_timer(listener->network->loop, ACCEPT_PAUSE, accept_again, s);
}

static int listen_error(char **why, const char *where, const char *what, int error)
{
    bool same = strcmp(where, what) == 0;

    *why = xasprintf("cannot listen on %s%s%s: %s", where, same ? "" : ": ", same ? "" : what,
                     strerror(error));
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

    if (address_split(text, &host, &port) != 0) {
        *why = xasprintf("cannot listen on %s: neither HOST:PORT, with a port up to 65535, nor "
                         "unix:PATH",
                         text);
        return ECP_EUNREACHABLE;
    }
    int e = address_look_up(host, port, AI_PASSIVE, &found);
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
    return listener->count ? 0 : listen_error(why, text, "no address of this host", unusable);
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
    const char *path = address_unix_path(text);
    struct address address;
    struct stat st;

    if (address_unix(text, &address) != 0)
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

void event_unlisten(struct network *base, struct listener *listener)
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

int event_listen(struct network *base, const char *address, accept_fn *accept_done, void *cookie,
                 struct listener **out, char **why)
{
    struct listener *listener = xcalloc(1, sizeof(*listener));
    listener->network = (struct event_network *)base;
    listener->accept = accept_done;
    listener->cookie = cookie;
    *why = NULL;
    int e = address_is_unix(address) ? listen_unix(listener, address, why)
                                     : listen_tcp(listener, address, why);
    if (e) {
        event_unlisten(base, listener);
        listener = NULL;
    }
    *out = listener;
    return e;
}

int event_listener_port(const struct listener *listener)
{
    return listener->port;
}
