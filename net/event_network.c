/* SPDX-License-Identifier: Apache-2.0 */
/* The real network: its addresses, its making and its end. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/event_internal.h"

#define UNIX_PREFIX "unix:"

bool address_is_unix(const char *text)
{
    return strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
}

const char *address_unix_path(const char *text)
{
    return text + strlen(UNIX_PREFIX);
}

int address_unix(const char *text, struct address *address)
{
    const char *path = address_unix_path(text);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(sun.sun_path))
        return ECP_EINVAL;
    strcpy(sun.sun_path, path);
    memcpy(&address->addr, &sun, sizeof(sun));
    address->len = sizeof(sun);
    return 0;
}

int address_split(const char *text, char **host, char **port)
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

int address_look_up(const char *host, const char *port, int flags, struct addrinfo **found)
{
    struct addrinfo hints = {
        .ai_flags = AI_NUMERICSERV | flags,
        .ai_socktype = SOCK_STREAM,
        .ai_protocol = IPPROTO_TCP,
    };
    *found = NULL;
    return getaddrinfo(host, port, &hints, found);
}

void address_text(const struct sockaddr *addr, socklen_t len, char *text, size_t size)
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

static const struct network_ops event_network_ops = {
    .connect = event_connect,
    .connect_cancel = event_connect_cancel,
    .listen = event_listen,
    .unlisten = event_unlisten,
};

struct network *event_network_new(struct loop *loop)
{
    struct event_network *network = xcalloc(1, sizeof(*network));
    network->base.ops = &event_network_ops;
    network->loop = loop;
    return &network->base;
}

void event_network_release(struct event_network *network)
{
    loop_worker_free(network->loop, network->resolver);
    free(network);
}

/* A cancelled look-up cannot be interrupted: then the last one frees, if the loop still runs. */
void event_network_free(struct network *base)
{
    struct event_network *network = (struct event_network *)base;
    if (!network)
        return;
    network->dying = true;
    if (network->lookups == 0)
        event_network_release(network);
}
