/* SPDX-License-Identifier: Apache-2.0 */
/* Import's sending half: SETs gathered into batches, a window of batches under way. */
#include "cli/import.h"

#include <stdlib.h>

#define BATCH_BYTES (128u << 10)
#define WINDOW      16 /* batches under way */

/* What a batch's answer needs. */
struct ticket {
    struct import_sender *sender;
    size_t count;
};

void import_sender_init(struct import_sender *s, struct cli *cli, size_t max_ops)
{
    *s = (struct import_sender){.cli = cli, .max_ops = max_ops};
    s->updates = xcalloc(max_ops, sizeof *s->updates);
    buf_reserve(&s->arena, BATCH_BYTES);
}

void import_sender_free(struct import_sender *s)
{
    free(s->updates);
    free(s->error_text);
    buf_free(&s->arena);
}

static void on_applied(void *cookie, int error, const struct call_applied *applied)
{
    struct ticket *ticket = cookie;
    struct import_sender *s = ticket->sender;
    s->in_flight--;
    if (!error)
        s->sent_nodes += ticket->count;
    if (error && !s->error) {
        s->error = error;
        if (applied && applied->text && *applied->text)
            s->error_text = xstrdup(applied->text);
    }
    free(ticket);
    if (s->in_flight < s->wait_below)
        session_wake(s->cli);
}

static void wait_until_below(struct import_sender *s, unsigned below)
{
    s->wait_below = below;
    while (s->in_flight >= below)
        session_wait(s->cli);
    s->wait_below = 0;
}

static int send_batch(struct import_sender *s)
{
    if (s->count && !s->error) {
        struct ticket *ticket = xmalloc(sizeof *ticket);
        *ticket = (struct ticket){s, s->count};
        s->in_flight++;
        call_update(s->cli->client, s->updates, s->count, on_applied, ticket);
        session_turn(s->cli); /* the server works while the next batch is gathered */
        wait_until_below(s, WINDOW);
    }
    s->count = 0;
    buf_clear(&s->arena);
    return s->error;
}

static struct slice keep(struct import_sender *s, struct slice bytes)
{
    uint8_t *at = s->arena.data + s->arena.len;
    if (bytes.len)
        memcpy(at, bytes.data, bytes.len);
    s->arena.len += bytes.len;
    return slice_of(at, bytes.len);
}

int import_send(struct import_sender *s, struct slice key, struct slice value)
{
    size_t need = key.len + value.len;
    if (s->count == s->max_ops || (s->count && s->arena.len + need > BATCH_BYTES))
        send_batch(s);
    if (s->error)
        return s->error;
    if (need > s->arena.cap) /* only with an empty batch: nothing points into the arena */
        buf_reserve(&s->arena, need);
    struct update *update = &s->updates[s->count++];
    update->kind = UPDATE_SET;
    update->key = keep(s, key);
    update->value = keep(s, value);
    s->queued++;
    return 0;
}

int import_finish(struct import_sender *s)
{
    send_batch(s);
    wait_until_below(s, 1);
    return s->error;
}
