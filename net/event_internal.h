/* SPDX-License-Identifier: Apache-2.0 */
/* What the files event_*.c share; nobody else includes it. */
#ifndef NET_EVENT_INTERNAL_H
#define NET_EVENT_INTERNAL_H

#include <sys/socket.h>

#include "net/event.h"

/* A stream over a connected, non-blocking socket, which it owns from then on. */
struct stream *event_stream_new(struct loop *loop, int fd);

/* Streams that exist, for event_loop_finish: one more (+1), one less (-1). */
void event_loop_streams(struct loop *loop, int change);

#define SOCKET_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

struct event_network {
    struct network base;
    struct loop *loop;
    struct loop_worker *resolver; /* made at the first look-up */
    size_t lookups;               /* under way in the resolver */
    bool dying;                   /* freed when the last look-up ends */
};

/* Frees it: it is dying and no look-up is under way. */
void event_network_release(struct event_network *network);

/* struct network_ops */
void *event_connect(struct network *network, const char *address, connect_done_fn *done,
                    void *cookie);
void event_connect_cancel(struct network *network, void *handle);
int event_listen(struct network *network, const char *address, accept_fn *accept, void *cookie,
                 struct listener **listener, char **why);
void event_unlisten(struct network *network, struct listener *listener);

struct addrinfo;

struct address {
    struct sockaddr_storage addr;
    socklen_t len;
};

/* Whether text is of the form "unix:PATH"; its path; its address or ECP_EINVAL. */
bool address_is_unix(const char *text);
const char *address_unix_path(const char *text);
int address_unix(const char *text, struct address *address);
/* Splits "HOST:PORT" or "[V6]:PORT"; caller frees both. ECP_EINVAL: neither is set. */
int address_split(const char *text, char **host, char **port);
/* getaddrinfo for TCP with the flags AI_*: 0 and *found (freeaddrinfo), or EAI_*. May block. */
int address_look_up(const char *host, const char *port, int flags, struct addrinfo **found);
/* For messages; cut to size bytes. */
void address_text(const struct sockaddr *addr, socklen_t len, char *text, size_t size);

#endif
