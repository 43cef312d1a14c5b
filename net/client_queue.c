/* SPDX-License-Identifier: Apache-2.0 */
/* The client's calls from their making to their end: waiting, sent, ending. */
#include "net/client.h"
#include "base/mutation.h"

#include <stdlib.h>

#define FLUSH_SIZE (256u << 10) /* bytes that do not wait for the end of the turn */
#define TABLE_MIN  64

/* Lists */

void client_list_add(struct call_list *list, struct call *call)
{
    call->list = list;
    call->next = NULL;
    call->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = call;
    list->last = call;
}

void client_list_remove(struct call *call)
{
    struct call_list *list = call->list;
    *(call->prev ? &call->prev->next : &list->first) = call->next;
    *(call->next ? &call->next->prev : &list->last) = call->prev;
    call->list = NULL;
}

/* Table of sent calls by id. Ids are consecutive: their low bits spread well. */

static struct call **table_slot(struct client *c, uint64_t id)
{
    return &c->table[id & (c->table_size - 1)];
}

static void table_link(struct client *c, struct call *call)
{
    struct call **slot = table_slot(c, call->id);
    call->chain = *slot;
    *slot = call;
}

void client_table_add(struct client *c, struct call *call)
{
    if (c->table_count++ < c->table_size) {
        table_link(c, call);
        return;
    }
    c->table_size *= 2;
    free(c->table);
    c->table = xcalloc(c->table_size, sizeof(struct call *));
    for (call = c->sent.first; call; call = call->next)
        table_link(c, call);
}

struct call *client_find(struct client *c, uint64_t id)
{
    struct call *call = *table_slot(c, id);
    while (call && call->id != id)
        call = call->chain;
    return call;
}

static void table_remove(struct client *c, struct call *call)
{
    struct call **at = table_slot(c, call->id);
    while (*at != call)
        at = &(*at)->chain;
    *at = call->chain;
    c->table_count--;
}

void client_unqueue(struct client *c, struct call *call)
{
    if (call->list == &c->sent)
        table_remove(c, call);
    if (call->list == &c->waiting)
        c->waiting_bytes -= call->len;
    client_list_remove(call);
}

void client_land(struct client *c, struct call *call)
{
    if (!call->flying)
        return;
    TAILQ_REMOVE(&c->flight, call, flight);
    c->flight_bytes -= call->len;
    call->flying = false;
    if (c->retained.wanted)
        client_pump(c); /* others may have waited for it */
}

void client_forget(struct client *c, struct call *call)
{
    client_unqueue(c, call);
    if (call_is_update(call)) {
        c->updates--;
        c->update_bytes -= call->len;
        client_land(c, call);
    }
}

void call_free(struct call *call)
{
    free(call);
}

void call_cancel(struct call *call)
{
    if (!call)
        return;
    client_forget(call->client, call);
    call_free(call);
}

bool call_is_unsent(const struct call *call)
{
    return call->list != &call->client->sent && !call->flying;
}

/* Endings: done of a call that fails here is called from the loop. */

static void end_calls(void *cookie)
{
    struct client *c = cookie;
    c->ending_event = NULL;
    /* Calls refused by a done of this turn are told in the next one. */
    struct call *last = c->ending.last;
    for (bool more = last != NULL; more && c->ending.first;) {
        struct call *call = c->ending.first;
        more = call != last;
        client_forget(c, call);
        call->kind->failed(call, call->error, 0, "");
        call_free(call);
    }
    if (c->ending.first && !c->ending_event)
        c->ending_event = loop_soon(c->loop, end_calls, c);
}

void client_end_later(struct client *c, struct call *call, int error)
{
    call->error = error;
    client_list_add(&c->ending, call);
    if (!c->ending_event)
        c->ending_event = loop_soon(c->loop, end_calls, c);
}

void client_end_call(struct client *c, struct call *call, int error)
{
    client_unqueue(c, call);
    client_end_later(c, call, error);
}

void client_end_waiting(struct client *c, int error)
{
    while (c->waiting.first)
        client_end_call(c, c->waiting.first, error);
}

/* What gives locks back, and what nobody waits for, is never refused. */
static bool may_refuse(const struct call_kind *kind)
{
    return kind->answer && kind->request != MSG_UNLOCK && kind->request != MSG_RECLAIMED;
}

void client_refuse_calls(struct client *c, int error)
{
    c->refusing = error;
    for (struct call *call = c->waiting.first, *next; error && call; call = next) {
        next = call->next;
        if (may_refuse(call->kind) && !call->flying && !call->reclaims)
            client_end_call(c, call, error);
    }
}

/* Sending */

static void number(struct client *c, struct call *call, size_t at)
{
    if (!call->sequence) {
        call->sequence = ++c->last_sequence;
        call->flying = true;
        TAILQ_INSERT_TAIL(&c->flight, call, flight);
        c->flight_bytes += call->len;
    }
    patch_u64(&c->out, at, call->sequence);
    patch_u64(&c->out, at + 8, TAILQ_FIRST(&c->flight)->sequence - 1);
}

static void put_call(struct client *c, struct call *call)
{
    call->id = call->kind->answer ? ++c->last_id : 0;
    call->sent_at = loop_now(c->loop);
    call->sent = true;
    size_t mark = frame_begin(&c->out, call->kind->request, call->id);
    size_t at = c->out.len;
    buf_append(&c->out, call->payload, call->len);
    if (call_is_update(call))
        number(c, call, at);
    if (call->kind->request == MSG_SYNC && !call->sequence)
        call->sequence = c->last_sequence + 1;
    if (call_is_once(call))
        resend_keep(&c->resend, &c->out, mark);
    else
        frame_end(&c->out, mark);
    c->round_trips += call->id != 0;
}

static void send_call(struct client *c, struct call *call)
{
    put_call(c, call);
    if (call->id) {
        client_list_add(&c->sent, call);
        client_table_add(c, call);
    } else {
        call_free(call);
    }
}

void client_flush(struct client *c)
{
    if (c->out.len)
        conn_send(c->conn, &c->out);
}

void client_send_empty(struct client *c, uint16_t type, uint64_t id)
{
    frame_end(&c->out, frame_begin(&c->out, type, id));
    client_flush(c);
}

void client_send_kept(struct client *c, size_t mark)
{
    resend_keep(&c->resend, &c->out, mark);
    if (c->state == CLIENT_NORMAL)
        client_flush(c);
    else
        buf_clear(&c->out);
}

static void pump_now(struct client *c)
{
    if (c->state != CLIENT_NORMAL)
        return;
    /* Above the mark, conn tells when all is sent, and client_pump goes on. */
    while (c->waiting.first && conn_pending(c->conn) <= CONN_OUTPUT_HIGH) {
        struct call *call = MUTATION(MUTATION_OVERTAKE) ? c->waiting.last : c->waiting.first;
        if (call_is_update(call) && !call->flying && client_retain_full(c))
            break;
        client_unqueue(c, call);
        send_call(c, call);
        if (c->out.len >= FLUSH_SIZE)
            client_flush(c);
    }
    client_flush(c);
}

static void pump(void *cookie)
{
    struct client *c = cookie;
    c->pump_event = NULL;
    pump_now(c);
}

void client_pump(struct client *c)
{
    if (!c->pump_event && c->state == CLIENT_NORMAL)
        c->pump_event = loop_soon(c->loop, pump, c);
}

static struct call *new_call(struct client *c, const struct call_kind *kind, void *cookie)
{
    struct call *call = xmalloc(sizeof *call + c->scratch.len);
    *call = (struct call){.client = c, .kind = kind, .cookie = cookie, .len = c->scratch.len};
    if (call->len)
        memcpy(call->payload, c->scratch.data, call->len);
    buf_clear(&c->scratch);
    if (c->scratch.cap > FLUSH_SIZE)
        buf_free(&c->scratch);
    if (call_is_update(call)) {
        c->updates++;
        c->update_bytes += call->len;
    }
    return call;
}

struct call *client_submit(struct client *c, const struct call_kind *kind, void *cookie)
{
    if (c->state == CLIENT_LOST)
        return client_refuse(c, kind, c->lost_error, cookie);
    if (c->refusing && may_refuse(kind))
        return client_refuse(c, kind, c->refusing, cookie);
    struct call *call = new_call(c, kind, cookie);
    client_list_add(&c->waiting, call);
    c->waiting_bytes += call->len;
    if (c->waiting_bytes >= FLUSH_SIZE)
        pump_now(c);
    else
        client_pump(c);
    return call;
}

struct call *client_submit_now(struct client *c, const struct call_kind *kind, void *cookie)
{
    struct call *call = new_call(c, kind, cookie);
    send_call(c, call);
    client_flush(c);
    return call;
}

struct call *client_refuse(struct client *c, const struct call_kind *kind, int error, void *cookie)
{
    buf_clear(&c->scratch);
    struct call *call = new_call(c, kind, cookie);
    client_end_later(c, call, error);
    return call;
}

static void free_list(struct client *c, struct call_list *list)
{
    while (list->first) {
        struct call *call = list->first;
        client_forget(c, call);
        call_free(call);
    }
}

void client_queue_init(struct client *c)
{
    TAILQ_INIT(&c->flight);
    c->table_size = TABLE_MIN;
    c->table = xcalloc(c->table_size, sizeof(struct call *));
}

void client_queue_free(struct client *c)
{
    free_list(c, &c->waiting);
    free_list(c, &c->sent);
    free_list(c, &c->ending);
    loop_cancel(c->loop, c->pump_event);
    loop_cancel(c->loop, c->ending_event);
    free(c->table);
    buf_free(&c->scratch);
}
