/* SPDX-License-Identifier: Apache-2.0 */
/* What the answers to a mount's calls must be. */
#include "tests/sim/host.h"
#include "tests/sim/mount.h"

/* Whether the directory has been the same since the call began. */
static bool same_directory(struct request *r)
{
    struct mount *m = r->mount;
    size_t born = m->history->born[r->node];
    if (m->born[r->node] != born) {
        m->changed[r->node] = 0;
        m->listed[r->node] = (struct listed){0};
        m->born[r->node] = born;
    }
    return r->incarnation == m->incarnation && r->began.born[r->node] == born;
}

/* A directory's time never goes back. */
static void check_changed(struct request *r)
{
    struct mount *m = r->mount;
    if (!r->changed || r->overtaken || !same_directory(r))
        return;
    if (r->changed < r->changed_before)
        world_fail(m->world, "%s: the time of %s is not %llx or newer, but %llx", m->process->name,
                   node_name(r->node), (unsigned long long)r->changed_before,
                   (unsigned long long)r->changed);
    if (m->changed[r->node] < r->changed)
        m->changed[r->node] = r->changed;
}

/*
 * When a listing shows a change, then the directory's time is newer, from then on, than what had
 * been shown before the listing of before.
 */
static void note_listing(struct request *r)
{
    struct mount *m = r->mount;
    struct listed *last = &m->listed[r->node],
                  now = {.ended = m->world->now, .changed_before = r->changed_before};
    if (r->node == 0 || r->from || !r->to_end || !same_directory(r))
        return;
    for (unsigned i = 0; i < r->to; i++)
        now.flags[i] = r->seen[i].flags;
    if (last->changed_before && last->ended <= r->began.time &&
        memcmp(last->flags, now.flags, sizeof(now.flags)) != 0 &&
        m->changed[r->node] <= last->changed_before)
        m->changed[r->node] = last->changed_before + 1;
    *last = now;
}

static void check_page(struct request *r)
{
    struct history *h = r->mount->history;
    const char *who = r->mount->process->name;
    struct state seen[NODES];
    unsigned first = 0, mask = 0;
    history_children(r->node, &first);
    for (unsigned i = r->from; i < r->to; i++) {
        seen[first + i] = r->seen[i];
        mask |= 1u << (first + i);
    }
    if (r->whole)
        history_saw_all(h, &r->began, mask, seen, who);
    for (unsigned i = r->from; i < r->to && !r->whole; i++)
        history_saw(h, &r->began, first + i, &r->seen[i], false, who);
}

/* Updates of one session are applied in the order in which they were given. */
static void check_order(struct request *r)
{
    struct mount *m = r->mount;
    if (r->incarnation != m->incarnation)
        return;
    for (unsigned i = 0; i < m->acked_count && i < MOUNT_ACKED; i++)
        if ((m->acked[i].number < r->number) != (m->acked[i].stamp < r->stamp))
            world_fail(m->world, "%s: updates %llu and %llu were not applied in their order",
                       m->process->name, (unsigned long long)m->acked[i].number,
                       (unsigned long long)r->number);
    m->acked[m->acked_count % MOUNT_ACKED].number = r->number;
    m->acked[m->acked_count++ % MOUNT_ACKED].stamp = r->stamp;
}

static const char *request_name(const struct request *r)
{
    static const char *const names[] = {"node", "value", "page",  "update",
                                        "sync", "lock",  "unlock"};
    return names[r->kind];
}

/* Reads never fail; what changes something may, for reasons. */
static bool may_fail(const struct request *r)
{
    bool changes = r->kind >= REQUEST_UPDATE;
    if (r->error == ECP_EIO)
        return changes && host_failed(r->mount->host, r->began.time);
    if (r->error == ECP_EPROTO || r->error == ECP_ECORRUPT || r->error == ECP_EORDER)
        return false;
    return changes || r->error == ECP_ECANCELED;
}

void request_check(struct request *r)
{
    struct mount *m = r->mount;
    world_trace(m->world, m->process,
                "answers %s of %s begun at %.6f: %s, flags %x stamp %llx changed %llx%s",
                request_name(r), node_name(r->node), (double)r->began.time / LOOP_SEC,
                error_name(r->error), r->seen[0].flags,
                (unsigned long long)(r->kind == REQUEST_UPDATE ? r->stamp : r->seen[0].stamp),
                (unsigned long long)r->changed, r->keep ? ", kept" : "");
    if (r->error && !may_fail(r))
        world_fail(m->world, "%s: a call ended with %s", m->process->name, error_name(r->error));
    if (r->error)
        return;
    if (r->incarnation == m->incarnation && (r->kind == REQUEST_LOCK || r->kind == REQUEST_UPDATE))
        m->registered |= r->session == m->sessions;
    if (r->kind == REQUEST_UPDATE) {
        size_t at = history_applied(m->history, &r->began, r->updates, r->count, r->stamp,
                                    host_acknowledges_durable(m->host));
        check_order(r);
        if (r->incarnation == m->incarnation && r->session == m->sessions)
            history_told(m->history, at, r->stamp, m->number, m->incarnation, m->sessions);
        return;
    }
    if (r->kind == REQUEST_SYNC) {
        history_synced(m->history, &r->began);
        return;
    }
    if (r->kind == REQUEST_LOCK || r->kind == REQUEST_UNLOCK)
        return;
    if (r->kind == REQUEST_PAGE) {
        check_page(r);
        note_listing(r);
        return;
    }
    check_changed(r);
    size_t at =
        history_saw(m->history, &r->began, r->node, &r->seen[0], r->exact, m->process->name);
    if (r->owner && !m->lost[r->owner] && r->writer != MOUNT_NOBODY && r->writer != m->number)
        history_passed(m->history, at);
}
