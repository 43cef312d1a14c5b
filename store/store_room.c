/* SPDX-License-Identifier: Apache-2.0 */
/* Whether there is room for a batch: in the base, in memory, in the journal. */
#include "base/log.h"
#include "store/store_int.h"

/* Journal room that is kept for batches that only remove. */
#define REMOVE_ROOM 65536
/* Bytes of the operation that carries notes, beside them. */
#define NOTES_HEAD 7

static bool only_removes(const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->updates[i].kind != UPDATE_KILL && b->updates[i].kind != UPDATE_ZKILL &&
            b->updates[i].kind != UPDATE_RMDIR)
            return false;
    return true;
}

/* Nothing was promised in what could not be made: without files it is as without room. */
static void room_made(void *cookie, int error)
{
    struct store *s = cookie;
    s->awaiting_room = false;
    s->no_room = s->want_checkpoint = error != 0;
    if (error && error != ECP_ENOSPC && error != ECP_ENOMEM)
        s->failed = ECP_EIO;
    if (error && !s->room_told)
        log_warning("%s: no room for the journal: %s", s->directory,
                    error == ECP_ENOMEM ? "too many open files (ulimit -n), or no memory"
                                        : error_text(error));
    s->room_told = error != 0;
    store_turn(s);
    store_closing(s);
}

/* The journal has room for what the batch came to; or it is made, or there is none. */
static int journal_room(struct store *s, bool removes)
{
    size_t need = s->log.len + s->notes.len + NOTES_HEAD + (removes ? 0 : REMOVE_ROOM);
    if (!s->journal || journal_fits(s->journal, need))
        return 0;
    if (s->no_room)
        return ECP_ENOSPC;
    s->awaiting_room = true;
    journal_make_room(s->journal, need, room_made, s);
    return STORE_WAIT;
}

/* What is applied must find room in the base. What frees room does so by a checkpoint. */
static int base_room(struct store *s, bool removes, bool anything_before)
{
    if (removes || s->stat.used + overlay_weight(s->overlay) <= s->stat.limit)
        return 0;
    if (!anything_before || s->checkpoint.state == CHECKPOINT_RETRY)
        return ECP_ENOSPC;
    s->want_checkpoint = true;
    return STORE_WAIT;
}

bool store_memory_full(const struct store *s)
{
    return s->overlay->active->arena.bytes >= s->options.overlay_bytes &&
           !layer_empty(s->overlay->active);
}

/* When checkpoints find no room, memory cannot be waited for. */
static int memory_room(const struct store *s, bool removes)
{
    if (removes || !store_memory_full(s) || s->checkpoint.state != CHECKPOINT_RETRY)
        return 0;
    return ECP_ENOSPC;
}

int store_room(struct store *s, const struct batch *b, bool anything_before)
{
    bool removes = only_removes(b);
    int error = base_room(s, removes, anything_before);
    if (error == 0)
        error = memory_room(s, removes);
    return error ? error : journal_room(s, removes);
}
