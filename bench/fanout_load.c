/* SPDX-License-Identifier: Apache-2.0 */
/* Many sessions cache the same pages, then one update touches them all: fanout_load ADDRESS
 * SESSIONS PAGES PID-OF-ECPD. bench/fanout starts it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/call.h"
#include "net/event.h"

#define PAGE_ENTRIES 20 /* children of each ^F(page) */

struct load;

struct session {
    struct load *load;
    struct client *client;
    uint64_t lease; /* of the page that the update will touch */
    unsigned pages; /* read */
};

struct load {
    struct loop *loop;
    struct network *network;
    const char *address;
    unsigned sessions, pages, connected, ready, unleased, invalidated;
    int pid;
    struct session *session;
    struct client *writer;
    unsigned writing; /* page */
    uint64_t resident[3], started, last_invalidated;
};

static struct key key_of(unsigned page, unsigned child, bool with_child)
{
    struct key key;
    char text[16];

    key_global(&key, slice_str("F"));
    snprintf(text, sizeof(text), "%u", page);
    key_append(&key, slice_str(text));
    snprintf(text, sizeof(text), "%u", child);
    if (with_child)
        key_append(&key, slice_str(text));
    return key;
}

/* VmRSS in bytes. */
static uint64_t resident(int pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "VmRSS: %" SCNu64, &kib) == 1)
            break;
    }
    if (file)
        fclose(file);
    return kib * 1024;
}

static void give_up(const char *what, int error)
{
    fprintf(stderr, "fanout_load: %s: %s\n", what, error_text(error));
    exit(1);
}

/* ---- the update ---- */

static void finish(struct load *l, uint64_t applied)
{
    double sessions = l->sessions;

    printf("sessions %u, pages %u of %u entries, not leased %u\n", l->sessions, l->pages,
           PAGE_ENTRIES, l->unleased);
    printf("server memory per session       %10.0f bytes\n",
           (double)(int64_t)(l->resident[1] - l->resident[0]) / sessions);
    printf("server memory per leased page   %10.0f bytes\n",
           (double)(int64_t)(l->resident[2] - l->resident[1]) / sessions / l->pages);
    printf("last invalidation after         %10.3f ms\n",
           (double)(l->last_invalidated - l->started) / 1e6);
    printf("update applied after            %10.3f ms (all have answered)\n",
           (double)(applied - l->started) / 1e6);
    event_loop_stop(l->loop);
}

static void update_done(void *cookie, int error, const struct call_applied *applied)
{
    struct load *l = cookie;

    (void)applied;
    if (error)
        give_up("update", error);
    if (l->invalidated != l->sessions - l->unleased)
        fprintf(stderr, "fanout_load: %u invalidations, not %u\n", l->invalidated,
                l->sessions - l->unleased);
    finish(l, loop_now(l->loop));
}

static void invalidate(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct session *s = cookie;

    (void)touches;
    (void)count;
    s->load->invalidated++;
    s->load->last_invalidated = loop_now(s->load->loop);
    client_invalidated(s->client, serial);
}

static void all_cached(struct load *l)
{
    struct key key = key_of(0, 0, true);
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&key), .value = slice_str("new")};

    l->resident[2] = resident(l->pid);
    l->started = loop_now(l->loop);
    call_update(l->writer, &u, 1, update_done, l);
}

/* ---- reading ---- */

static void read_next(struct session *s);

static void read_done(void *cookie, int error, const struct call_pages *pages)
{
    struct session *s = cookie;

    if (error)
        give_up("read", error);
    if (s->pages == 0 && pages->pages[0].lease == 0)
        s->load->unleased++;
    if (++s->pages < s->load->pages)
        read_next(s);
    else if (++s->load->ready == s->load->sessions)
        all_cached(s->load);
}

static void read_next(struct session *s)
{
    struct key key = key_of(s->pages, 0, false);
    struct call_read_args args = {
        .parent = key_slice(&key), .lease = true, .max_value = 64, .budget = 65536};

    call_read(s->client, &args, read_done, s);
}

static void connect_next(void *cookie);

static void session_state(void *cookie, enum client_state state, int error, const char *why)
{
    struct session *s = cookie;

    (void)why;
    if (state == CLIENT_LOST)
        give_up("a session", error);
    if (state == CLIENT_NORMAL)
        loop_soon(s->load->loop, connect_next, s->load);
}

/* One after the other: the server's queue of connections is short. */
static void connect_next(void *cookie)
{
    struct load *l = cookie;
    struct session *s = &l->session[l->connected];
    struct client_config config = {.address = l->address,
                                   .namespace = "USER",
                                   .program = "fanout",
                                   .invalidate = invalidate,
                                   .state = session_state,
                                   .cookie = s};

    if (l->connected == l->sessions) {
        l->resident[1] = resident(l->pid);
        for (unsigned i = 0; i < l->sessions; i++)
            read_next(&l->session[i]);
        return;
    }
    l->connected++;
    s->load = l;
    s->client = client_new(l->loop, l->network, &config);
}

static void connect_all(struct load *l)
{
    l->resident[0] = resident(l->pid);
    connect_next(l);
}

/* ---- data ---- */

static void write_next(struct load *l);

static void written(void *cookie, int error, const struct call_applied *applied)
{
    struct load *l = cookie;

    (void)applied;
    if (error)
        give_up("writing", error);
    if (++l->writing < l->pages)
        write_next(l);
    else
        connect_all(l);
}

static void write_next(struct load *l)
{
    struct key keys[PAGE_ENTRIES];
    struct update updates[PAGE_ENTRIES];

    for (unsigned i = 0; i < PAGE_ENTRIES; i++) {
        keys[i] = key_of(l->writing, i, true);
        updates[i] = (struct update){
            .kind = UPDATE_SET, .key = key_slice(&keys[i]), .value = slice_str("some value")};
    }
    call_update(l->writer, updates, PAGE_ENTRIES, written, l);
}

int main(int argc, char **argv)
{
    struct load l = {.pid = argc == 5 ? atoi(argv[4]) : 0};
    struct client_config config = {.namespace = "USER", .program = "fanout"};

    if (argc != 5 || atoi(argv[2]) < 1 || atoi(argv[3]) < 1) {
        fprintf(stderr, "usage: fanout_load ADDRESS SESSIONS PAGES PID-OF-ECPD\n");
        return 2;
    }
    log_open("fanout_load", false, LOG_LEVEL_WARNING);
    l.address = config.address = argv[1];
    l.sessions = (unsigned)atoi(argv[2]);
    l.pages = (unsigned)atoi(argv[3]);
    l.session = xcalloc(l.sessions, sizeof(*l.session));
    l.loop = event_loop_new();
    l.network = event_network_new(l.loop);
    l.writer = client_new(l.loop, l.network, &config);
    write_next(&l);
    event_loop_run(l.loop);
    for (unsigned i = 0; i < l.sessions; i++)
        client_free(l.session[i].client);
    client_free(l.writer);
    event_loop_finish(l.loop, LOOP_SEC);
    event_network_free(l.network);
    event_loop_free(l.loop);
    free(l.session);
    return 0;
}
