/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of locks, and what the server says about locks unasked. */
#include <stdlib.h>
#include "net/client.h"
#include "net/msg_lock.h"

static int locked_answered(struct call *call, struct slice payload)
{
    uint64_t stamp;
    int error = msg_get_locked(payload, &stamp);
    if (!error)
        call->done.lock(call->cookie, 0, stamp);
    return error;
}

static void lock_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.lock(call->cookie, error, 0);
}

static const struct call_kind lock_kind = {MSG_LOCK, MSG_LOCKED, locked_answered, lock_failed};

static void copy_who(struct msg_lock_who *m, const struct call_lock_who *who)
{
    *m = (struct msg_lock_who){.owner = who->owner,
                               .group = who->group,
                               .process = who->process,
                               .text = who->text};
}

static bool copy_items(struct msg_lock_item *out, const struct call_lock_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].name.len > KEY_MAX_LEN)
            return false;
        out[i] = (struct msg_lock_item){.name = items[i].name,
                                        .exclusive = items[i].exclusive,
                                        .counted = items[i].counted,
                                        .start = items[i].start,
                                        .end = items[i].end ? items[i].end : UINT64_MAX};
    }
    return true;
}

struct call *call_lock(struct client *client, const struct call_lock_args *args, call_lock_fn *done,
                       void *cookie)
{
    struct msg_lock m = {.count = (uint16_t)args->count};
    struct msg_lock_item *items = NULL;
    int error = args->count > MSG_LOCK_ITEMS_MAX ? ECP_ETOOBIG : args->count ? 0 : ECP_EINVAL;
    if (!error) {
        items = xcalloc(args->count, sizeof *items);
        error = copy_items(items, args->items, args->count) ? 0 : ECP_EKEYLONG;
    }
    copy_who(&m.who, &args->who);
    m.flags =
        (uint8_t)((args->wait ? MSG_LOCK_WAIT : 0) | (args->delegable ? MSG_LOCK_DELEGABLE : 0) |
                  (args->patient ? MSG_LOCK_PATIENT : 0) | (args->replace ? MSG_LOCK_REPLACE : 0) |
                  (args->test ? MSG_LOCK_TEST : 0) | (args->reclaim ? MSG_LOCK_RECLAIM : 0));
    if (!error)
        msg_put_lock(&client->scratch, &m, items);
    free(items);
    struct call *call = error ? client_refuse(client, &lock_kind, error, cookie)
                              : client_submit(client, &lock_kind, cookie);
    call->done.lock = done;
    call->reclaims = args->reclaim;
    return call;
}

/* A LOCK sent but unanswered is told of; one not sent yet ends here, in a later turn. */
void call_lock_cancel(struct call *call)
{
    struct client *client = call->client;
    if (call->list == &client->sent) {
        size_t mark = frame_begin(&client->out, MSG_LOCK_CANCEL, 0);
        msg_put_lock_cancel(&client->out, call->id);
        client_send_kept(client, mark);
        call->cancelled = true;
    } else if (call->list == &client->waiting) {
        client_end_call(client, call, ECP_ECANCELED);
    }
}

static int unlocked_answered(struct call *call, struct slice payload)
{
    if (payload.len)
        return ECP_EPROTO;
    call->done.plain(call->cookie, 0);
    return 0;
}

static void unlock_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.plain(call->cookie, error);
}

static const struct call_kind unlock_kind = {MSG_UNLOCK, MSG_UNLOCKED, unlocked_answered,
                                             unlock_failed};

struct call *call_unlock(struct client *client, uint64_t owner, const struct call_lock_item *items,
                         size_t count, call_done_fn *done, void *cookie)
{
    struct msg_unlock m = {.owner = owner, .count = (uint16_t)count};
    struct msg_lock_item *copy = xcalloc(count ? count : 1, sizeof *copy);
    int error = count > MSG_LOCK_ITEMS_MAX       ? ECP_ETOOBIG
                : copy_items(copy, items, count) ? 0
                                                 : ECP_EKEYLONG;
    if (!error)
        msg_put_unlock(&client->scratch, &m, copy);
    free(copy);
    struct call *call = error ? client_refuse(client, &unlock_kind, error, cookie)
                              : client_submit(client, &unlock_kind, cookie);
    call->done.plain = done;
    return call;
}

/* ---- Said without an answer, after the calls made before ---- */

static void untold(struct call *call, int error, uint32_t index, const char *text)
{
}

static const struct call_kind kept_kind = {.request = MSG_LOCK_KEPT, .failed = untold};
static const struct call_kind pass_kind = {.request = MSG_LOCK_PASS, .failed = untold};

void client_lock_kept(struct client *client, uint64_t owner, struct slice name)
{
    struct msg_lock_name m = {.owner = owner, .name = name};
    msg_put_lock_name(&client->scratch, &m);
    client_submit(client, &kept_kind, NULL);
}

void client_lock_pass(struct client *client, uint64_t from, struct slice name, bool delegable,
                      const struct call_lock_who *to)
{
    struct msg_lock_pass m = {
        .from = from, .name = name, .flags = delegable ? MSG_LOCK_DELEGABLE : 0};
    copy_who(&m.to, to);
    msg_put_lock_pass(&client->scratch, &m);
    client_submit(client, &pass_kind, NULL);
}

int client_lock_said(struct client *client, const struct frame *frame)
{
    struct msg_lock_name m;
    if (msg_get_lock_name(frame->payload, &m))
        return ECP_EPROTO;
    if (client->config.lock)
        client->config.lock(client->config.cookie, frame->type == MSG_LOCK_LOST, m.owner, m.name);
    return 0;
}

/* ---- Administration ---- */

static int rows_of(struct slice payload, struct call_locks *locks, struct call_lock_row **rows)
{
    struct reader r = reader_of(payload);
    struct msg_lock_row m;
    size_t capacity = 0;
    int error;
    uint8_t more = get_u8(&r);
    if (r.bad || more > 1)
        return ECP_EPROTO;
    locks->more = more;
    while ((error = msg_get_lock_row(&r, &m)) == 0) {
        if (locks->count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            *rows = xrealloc(*rows, capacity * sizeof **rows);
        }
        (*rows)[locks->count++] =
            (struct call_lock_row){.name = m.name,
                                   .text = m.text,
                                   .session = m.session,
                                   .owner = m.owner,
                                   .since = m.since,
                                   .count = m.count,
                                   .exclusive = m.flags & MSG_LOCK_ROW_EXCLUSIVE,
                                   .counted = m.flags & MSG_LOCK_ROW_COUNTED,
                                   .waiting = m.flags & MSG_LOCK_ROW_WAITING,
                                   .deadlocked = m.flags & MSG_LOCK_ROW_DEADLOCKED,
                                   .kept = m.flags & MSG_LOCK_ROW_DELEGABLE,
                                   .start = m.start,
                                   .end = m.end};
    }
    return error == ECP_ENOENT ? 0 : ECP_EPROTO;
}

static int locks_answered(struct call *call, struct slice payload)
{
    struct call_locks locks = {0};
    struct call_lock_row *rows = NULL;
    int error = rows_of(payload, &locks, &rows);
    locks.rows = rows;
    if (!error)
        call->done.locks(call->cookie, 0, &locks);
    free(rows);
    return error;
}

static void locks_failed(struct call *call, int error, uint32_t index, const char *text)
{
    call->done.locks(call->cookie, error, NULL);
}

static const struct call_kind list_kind = {MSG_LOCK_LIST, MSG_LOCKS, locks_answered, locks_failed};

struct call *call_lock_list(struct client *client, struct slice under, uint32_t max,
                            call_locks_fn *done, void *cookie)
{
    struct msg_lock_list m = {.under = under, .max = max};
    msg_put_lock_list(&client->scratch, &m);
    struct call *call = client_submit(client, &list_kind, cookie);
    call->done.locks = done;
    return call;
}

static int forced_answered(struct call *call, struct slice payload)
{
    uint32_t count;
    int error = msg_get_lock_forced(payload, &count);
    if (!error)
        call->done.lock(call->cookie, 0, count);
    return error;
}

static const struct call_kind force_kind = {MSG_LOCK_FORCE, MSG_LOCK_FORCED, forced_answered,
                                            lock_failed};

struct call *call_lock_force(struct client *client, struct slice name, bool below,
                             call_lock_fn *done, void *cookie)
{
    msg_put_lock_force(&client->scratch, name, below);
    struct call *call = client_submit(client, &force_kind, cookie);
    call->done.lock = done;
    return call;
}
