/* SPDX-License-Identifier: Apache-2.0 */
/* A relay between clients and a server, which cuts connections at any byte. */
#include "tests/unit/test_relay.h"

#include <stdio.h>
#include <stdlib.h>

/* A connection through the relay. */
struct pipe {
    struct pipe *next;
    struct stream *ends[2]; /* client, server */
    void *connecting;       /* to the server */
    struct side {
        struct pipe *pipe;
        int to;
    } sides[2];
    size_t left; /* bytes until it is cut; 0: it is not */
};

static struct pipe *pipes;
static struct listener *listener;
static char through[64]; /* the relay's address */
static unsigned random_state = 1;
struct relay relay;

unsigned relay_draw(unsigned below)
{
    random_state = random_state * 1103515245u + 12345u;
    return (random_state >> 8) % below;
}

static void cut(struct pipe *p, bool stall)
{
    for (int i = 0; i < 2; i++) {
        if (p->ends[i] && (i == 0 || !stall))
            stream_close(p->ends[i]);
        if (i == 0 || !stall)
            p->ends[i] = NULL;
    }
}

static size_t relayed(void *cookie, struct slice bytes)
{
    struct side *side = cookie;
    struct pipe *p = side->pipe;
    size_t n = p->left && p->left <= bytes.len ? p->left : bytes.len;

    if (p->ends[side->to] && (side->to == 0 || !relay.deaf))
        stream_write(p->ends[side->to], slice_of(bytes.data, n));
    if (p->left && n == p->left)
        cut(p, false);
    else if (p->left)
        p->left -= n;
    return bytes.len;
}

static void side_closed(void *cookie, const char *reason)
{
    cut(((struct side *)cookie)->pipe, false);
}

static void side_drained(void *cookie)
{
}

static const struct stream_events relay_events = {relayed, side_drained, side_closed};

static void relay_connected(void *cookie, struct stream *stream, int error, const char *why)
{
    struct pipe *p = cookie;

    p->connecting = NULL;
    if (!stream || !p->ends[0]) {
        if (stream)
            stream_close(stream);
        cut(p, false);
        return;
    }
    p->ends[1] = stream;
    for (int i = 0; i < 2; i++) {
        p->sides[i] = (struct side){p, 1 - i};
        stream_start(p->ends[i], &relay_events, &p->sides[i]);
    }
}

static void relay_accept(void *cookie, struct stream *stream)
{
    struct pipe *p;

    if (relay.down) {
        stream_close(stream);
        return;
    }
    p = xcalloc(1, sizeof(*p));
    relay.connections++;
    p->next = pipes;
    pipes = p;
    p->ends[0] = stream;
    p->left = relay.cut_below ? 1 + relay_draw(relay.cut_below) : 0;
    p->connecting = network_connect(network, tcp, relay_connected, p);
}

void relay_cut(bool stall)
{
    for (struct pipe *p = pipes; p; p = p->next)
        if (p->ends[0])
            cut(p, stall);
}

void relay_start(void)
{
    char *why = NULL;

    cr_assert_eq(network_listen(network, "127.0.0.1:0", relay_accept, NULL, &listener, &why), 0,
                 "%s", why);
    snprintf(through, sizeof through, "127.0.0.1:%d", event_listener_port(listener));
}

void relay_stop(void)
{
    relay_cut(false);
    for (struct pipe *p; (p = pipes); free(p)) {
        cut(p, false);
        if (p->connecting)
            network_connect_cancel(network, p->connecting);
        pipes = p->next;
    }
    network_unlisten(network, listener);
}

struct client *relay_client(const struct client_config *config)
{
    struct client_config c = *config;

    c.address = through;
    c.namespace = "USER";
    c.program = "far";
    c.reconnect = true;
    return client_new(loop, network, &c);
}

static void tick(void *cookie)
{
    happened(cookie);
}

/* Counts the times it was called for one condition. */
static void wait_a_little(int *times, const char *what)
{
    bool done = false;

    cr_assert_lt((*times)++, 2000, "%s in 20 s", what);
    loop_timer(loop, 10 * LOOP_MS, tick, &done);
    until(&done);
}

void until_connected(struct client *client)
{
    for (int times = 0; client_state(client) != CLIENT_NORMAL;)
        wait_a_little(&times, "no connection");
}

void until_connections(unsigned count)
{
    for (int times = 0; relay.connections < count;)
        wait_a_little(&times, "no connection");
}

void until_sent(struct client *client, uint64_t count)
{
    for (int times = 0; client_round_trips(client) < count;)
        wait_a_little(&times, "nothing is sent");
}
