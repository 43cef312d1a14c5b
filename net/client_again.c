/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of calls that were sent, when the connection, the server or the session is gone. */
#include "net/client.h"

void client_unsend(struct client *c)
{
    struct call_list waiting = c->waiting, kept = {0};
    c->waiting = (struct call_list){0};
    while (c->sent.first) {
        struct call *call = c->sent.first;
        client_unqueue(c, call);
        client_list_add(call_is_once(call) ? &kept : &c->waiting, call);
        if (!call_is_once(call))
            c->waiting_bytes += call->len;
    }
    while (kept.first) {
        struct call *call = kept.first;
        client_list_remove(call);
        client_list_add(&c->sent, call);
        client_table_add(c, call);
    }
    while (waiting.first) {
        struct call *call = waiting.first;
        waiting.first = call->next;
        client_list_add(&c->waiting, call);
    }
}

static int reclaimed_answered(struct call *call, struct slice payload)
{
    return payload.len ? ECP_EPROTO : 0;
}

static void reclaimed_failed(struct call *call, int error, uint32_t index, const char *text)
{
}

static const struct call_kind reclaimed_kind = {MSG_RECLAIMED, MSG_SYNCED, reclaimed_answered,
                                                reclaimed_failed};

static bool is_of_locks(const struct call *call)
{
    uint16_t type = call->kind->request;
    return type == MSG_LOCK || type == MSG_UNLOCK || type == MSG_LOCK_FORCE;
}

/* From a list to another; but what was declared is declared anew, what was cancelled has been
 * forgotten by the server, and when no locks will be declared, nothing that was sent about them is
 * sent again. */
static void take_calls(struct client *c, struct call_list *from, struct call_list *to)
{
    while (from->first) {
        struct call *call = from->first;
        client_unqueue(c, call);
        if (call->reclaims || call->cancelled)
            client_end_later(c, call, ECP_ECANCELED);
        else if (call->sent && is_of_locks(call) && !c->config.reclaim)
            client_end_later(c, call, ECP_EDISCONNECTED);
        else if (call->kind == &reclaimed_kind)
            call_free(call);
        else
            client_list_add(to, call);
    }
}

static void wait_for(struct client *c, struct call_list *list)
{
    while (list->first) {
        struct call *call = list->first;
        client_list_remove(call);
        client_list_add(&c->waiting, call);
        c->waiting_bytes += call->len;
    }
}

void client_reclaim(struct client *c)
{
    struct call_list again = {0}, waiting = {0};
    take_calls(c, &c->waiting, &waiting);
    take_calls(c, &c->sent, &again);
    if (c->config.reclaim)
        c->config.reclaim(c->config.cookie);
    else if (c->config.session_lost)
        c->config.session_lost(c->config.cookie);
    wait_for(c, &again);
    wait_for(c, &waiting);
    client_submit(c, &reclaimed_kind, NULL);
}

void client_renumber(struct client *c)
{
    struct call *call;
    while ((call = TAILQ_FIRST(&c->flight))) {
        client_land(c, call);
        call->sequence = 0;
    }
    for (call = c->sent.first; call; call = call->next)
        call->sequence = 0;
    c->last_sequence = 0;
}

void client_end_sent(struct client *c)
{
    struct call *call;
    client_renumber(c);
    while (c->sent.first)
        client_end_call(c, c->sent.first, ECP_EDISCONNECTED);
    /* Some wait to be sent again, or to declare what is held, to a server that was started anew. */
    for (struct call *next, *waiting = c->waiting.first; (call = waiting); waiting = next) {
        next = call->next;
        if (call->kind == &reclaimed_kind) {
            client_unqueue(c, call);
            call_free(call);
        } else if (call->reclaims || (call->sent && call_is_once(call))) {
            client_end_call(c, call, ECP_EDISCONNECTED);
        }
    }
}
