/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts, from start to end; calls of applications, and the way of their answers. */
#include "tests/sim/mount.h"

#include "fs/upstream_net.h"
#include "net/call.h"
#include "tests/sim/host.h"
#include "tests/sim/network.h"

#define WAY_TIME (LOOP_MS / 2) /* between application and mount, at most */

void mount_init(struct mount *m, unsigned number, struct host *host, struct process *process,
                bool plain, size_t cache_bytes)
{
    *m = (struct mount){.world = host->world,
                        .host = host,
                        .number = number,
                        .history = &host->history,
                        .process = process,
                        .plain = plain,
                        .cache_bytes = cache_bytes,
                        .kernel.world = host->world};
}

static void on_invalidate(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    upstream_net_invalidate(((struct mount *)cookie)->upstream, serial, touches, count);
}

static void on_lease_lost(void *cookie)
{
    upstream_net_lease_lost(((struct mount *)cookie)->upstream);
}

void mount_start(struct mount *m)
{
    struct client_config config = {.address = "server:1",
                                   .namespace = "USER",
                                   .program = m->process->name,
                                   .reconnect = true,
                                   .connect_timeout = 2 * LOOP_SEC,
                                   .lock = mount_lock_said,
                                   .reclaim = mount_reclaim,
                                   .session_lost = mount_session_lost,
                                   .cookie = m};
    struct cache_config cache = {.bytes = m->cache_bytes};
    if (!m->plain) {
        config.invalidate = on_invalidate;
        config.lease_lost = on_lease_lost;
    }
    m->up = true;
    m->updates = 0;
    m->acked_count = 0;
    memset(m->changed, 0, sizeof(m->changed));
    memset(m->listed, 0, sizeof(m->listed));
    memset(m->kernel.nodes, 0, sizeof(m->kernel.nodes));
    m->client = client_new(&m->process->loop, &m->process->network, &config);
    mount_locks_new(m);
    if (m->plain)
        return;
    m->upstream = upstream_net_new(m->client);
    m->cache = cache_new(&m->process->loop, m->upstream, &cache, &mount_events, m);
}

static void land(void *cookie);

/* What the process had not answered ends now. */
static void abandon(struct request *r)
{
    struct process *p = r->mount->process;
    if (r->replied)
        return;
    loop_cancel(&p->loop, r->event);
    r->error = ECP_ECANCELED;
    r->replied = true;
    r->event = world_after(p->world, 0, land, r);
}

void mount_end(struct mount *m, bool crash)
{
    world_trace(m->world, m->process, crash ? "crashes" : "ends");
    m->up = false;
    m->incarnation++;
    if (crash)
        net_crash(m->process);
    for (struct request *r = m->requests; r; r = r->next)
        abandon(r);
    mount_recalls_free(m);
    if (!m->plain) {
        cache_free(m->cache);
        upstream_net_free(m->upstream);
    }
    client_free(m->client);
    mount_locks_free(m);
    process_drain(m->process);
}

/* ---- Answers ---- */

/* The answer has come to the kernel, and through it to the application. */
static void land(void *cookie)
{
    struct request *r = cookie;
    struct mount *m = r->mount;
    bool present = r->incarnation == m->incarnation && m->up && !r->from_kernel;
    if (present && r->first)
        m->kernel.nodes[r->node].landing--;
    if (present && !r->error && (r->kind == REQUEST_NODE || r->kind == REQUEST_VALUE))
        r->overtaken =
            !kernel_landed(&m->kernel, r->node, r->version, &r->seen[0], r->changed, r->keep);
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    request_check(r);
    r->done(r->cookie);
}

void request_reply(struct request *r, int error, uint64_t until)
{
    struct mount *m = r->mount;
    struct kernel_node *k = &m->kernel.nodes[r->node];
    uint64_t now = loop_now(&m->process->loop);
    r->error = error;
    r->keep = !error && until > now ? until - now : 0;
    r->first = r->keep && (r->kind == REQUEST_NODE || r->kind == REQUEST_VALUE) && !k->known;
    if (r->first)
        k->landing++;
    r->replied = true;
    r->event = world_after(m->world, world_random(m->world, WAY_TIME), land, r);
}

static bool from_kernel(struct request *r)
{
    struct mount *m = r->mount;
    const struct kernel_node *k = kernel_get(&m->kernel, r->node);
    if (m->plain || r->kind != REQUEST_NODE || !k)
        return false;
    r->seen[0] = k->state;
    r->changed = k->changed;
    r->from_kernel = true;
    world_trace(m->world, m->process, "kernel answers");
    return true;
}

void request_begin(struct mount *m, struct request *r)
{
    struct world *world = m->world;
    r->mount = m;
    r->next = m->requests;
    if (r->next)
        r->next->link = &r->next;
    r->link = &m->requests;
    m->requests = r;
    history_begin(m->history, &r->began, !m->plain);
    r->incarnation = m->incarnation;
    r->session = m->sessions;
    r->changed_before = 0;
    if (m->born[r->node] == r->began.born[r->node])
        r->changed_before = m->changed[r->node];
    r->version = m->kernel.nodes[r->node].version;
    if (!m->up)
        abandon(r);
    else if (from_kernel(r)) {
        r->replied = true;
        r->keep = 0;
        r->event = world_after(world, 0, land, r);
    } else {
        r->event =
            process_at(m->process, world->now + world_random(world, WAY_TIME), request_serve, r);
    }
}
