/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger of sessions, and its notes. */
#include "store/ledger.h"

#include <stdlib.h>

#include "base/error.h"

#define ANSWERED_STEP 1024 /* batches between two notes of what is answered */

/* A note: kind, session, and with
 *   BEGIN     u64 secret, u64 last (without the results that follow), u8 enum ledger_flags
 *   RESULT    u64 sequence, u64 stamp, u16 error, u32 index, bytes32 values
 *   ANSWERED  u64 sequence */
enum { NOTE_BEGIN = 1, NOTE_END, NOTE_RESULT, NOTE_ANSWERED };

RB_HEAD(ledger_tree, ledger_session);

struct ledger {
    struct ledger_tree sessions;
};

static int compare(const struct ledger_session *a, const struct ledger_session *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

#define LEDGER_TREE __attribute__((unused)) static
RB_GENERATE_INTERNAL(ledger_tree, ledger_session, tree, compare, LEDGER_TREE)

struct ledger *ledger_new(void)
{
    return xcalloc(1, sizeof(struct ledger));
}

static void session_free(struct ledger *l, struct ledger_session *s)
{
    RB_REMOVE(ledger_tree, &l->sessions, s);
    for (size_t i = 0; i < s->count; i++)
        free((void *)s->outcomes[s->head + i].values.data);
    free(s->outcomes);
    free(s);
}

void ledger_free(struct ledger *l)
{
    struct ledger_session *s;
    if (!l)
        return;
    while ((s = RB_ROOT(&l->sessions)))
        session_free(l, s);
    free(l);
}

struct ledger_session *ledger_find(struct ledger *l, uint64_t id)
{
    struct ledger_session key = {.id = id};
    return RB_FIND(ledger_tree, &l->sessions, &key);
}

struct ledger_session *ledger_next(struct ledger *l, struct ledger_session *s)
{
    return s ? RB_NEXT(ledger_tree, &l->sessions, s) : RB_MIN(ledger_tree, &l->sessions);
}

const struct ledger_outcome *ledger_outcome(const struct ledger_session *s, uint64_t sequence)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct ledger_outcome *o = &s->outcomes[s->head + middle];
        if (o->sequence == sequence)
            return o;
        if (o->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- Changes ---- */

static void note(struct buf *notes, uint8_t kind, uint64_t id)
{
    put_u8(notes, kind);
    put_u64(notes, id);
}

static void note_begin(struct buf *notes, const struct ledger_session *s, uint64_t last)
{
    note(notes, NOTE_BEGIN, s->id);
    put_u64(notes, s->secret);
    put_u64(notes, last);
    put_u8(notes, (uint8_t)s->flags);
}

static void note_result(struct buf *notes, uint64_t id, const struct ledger_outcome *o)
{
    note(notes, NOTE_RESULT, id);
    put_u64(notes, o->sequence);
    put_u64(notes, o->stamp);
    put_u16(notes, (uint16_t)o->error);
    put_u32(notes, o->index);
    put_bytes32(notes, o->values);
}

static void note_answered(struct buf *notes, uint64_t id, uint64_t sequence)
{
    note(notes, NOTE_ANSWERED, id);
    put_u64(notes, sequence);
}

void ledger_begin(struct ledger *l, uint64_t id, uint64_t secret, unsigned flags,
                  struct buf *notes)
{
    struct ledger_session *s = ledger_find(l, id);
    if (!s) {
        s = xcalloc(1, sizeof(*s));
        s->id = id;
        s->secret = secret;
        RB_INSERT(ledger_tree, &l->sessions, s);
    }
    s->flags |= flags;
    if (notes)
        note_begin(notes, s, s->last);
}

void ledger_end(struct ledger *l, uint64_t id, struct buf *notes)
{
    struct ledger_session *s = ledger_find(l, id);
    if (!s)
        return;
    session_free(l, s);
    if (notes)
        note(notes, NOTE_END, id);
}

bool ledger_retains(struct ledger *l)
{
    struct ledger_session *s;
    RB_FOREACH (s, ledger_tree, &l->sessions)
        if (s->flags & LEDGER_RETAINS)
            return true;
    return false;
}

void ledger_settle(struct ledger *l)
{
    struct ledger_session *s;
    RB_FOREACH (s, ledger_tree, &l->sessions)
        s->flags &= ~(unsigned)LEDGER_RETAINS;
}

static void make_room(struct ledger_session *s)
{
    if (s->head + s->count < s->capacity)
        return;
    if (s->head > s->count) {
        memmove(s->outcomes, s->outcomes + s->head, s->count * sizeof(*s->outcomes));
        s->head = 0;
        return;
    }
    s->capacity = s->capacity ? s->capacity * 2 : 16;
    s->outcomes = xrealloc(s->outcomes, s->capacity * sizeof(*s->outcomes));
}

void ledger_result(struct ledger *l, uint64_t id, const struct ledger_outcome *o,
                   struct buf *notes)
{
    struct ledger_session *s = ledger_find(l, id);
    if (!s || o->sequence <= s->last)
        return;
    if (notes)
        note_result(notes, id, o);
    make_room(s);
    struct ledger_outcome *own = &s->outcomes[s->head + s->count++];
    *own = *o;
    if (o->values.len)
        own->values.data = xmemdup(o->values.data, o->values.len);
    else
        own->values = slice_of(NULL, 0);
    s->last = o->sequence;
}

void ledger_answered(struct ledger *l, uint64_t id, uint64_t sequence, struct buf *notes)
{
    struct ledger_session *s = ledger_find(l, id);
    if (!s || sequence <= s->answered)
        return;
    s->answered = sequence;
    for (; s->count && s->outcomes[s->head].sequence <= sequence; s->count--)
        free((void *)s->outcomes[s->head++].values.data);
    if (!s->count)
        s->head = 0;
    if (notes && sequence - s->noted >= ANSWERED_STEP) {
        note_answered(notes, id, sequence);
        s->noted = sequence;
    }
}

/* ---- Notes ---- */

void ledger_save(struct ledger *l, struct buf *notes)
{
    struct ledger_session *s;
    RB_FOREACH (s, ledger_tree, &l->sessions) {
        note_begin(notes, s, s->count ? s->outcomes[s->head].sequence - 1 : s->last);
        note_answered(notes, s->id, s->answered);
        for (size_t i = 0; i < s->count; i++)
            note_result(notes, s->id, &s->outcomes[s->head + i]);
    }
}

static void load_begin(struct ledger *l, uint64_t id, struct reader *r)
{
    uint64_t secret = get_u64(r), last = get_u64(r);
    unsigned flags = get_u8(r);
    if (r->bad)
        return;
    ledger_begin(l, id, secret, flags, NULL);
    struct ledger_session *s = ledger_find(l, id);
    s->last = last > s->last ? last : s->last;
}

static void load_result(struct ledger *l, uint64_t id, struct reader *r)
{
    struct ledger_outcome o = {.sequence = get_u64(r), .stamp = get_u64(r)};
    o.error = get_u16(r);
    o.index = get_u32(r);
    o.values = get_bytes32(r);
    if (!r->bad)
        ledger_result(l, id, &o, NULL);
}

int ledger_load(struct ledger *l, struct slice notes)
{
    struct reader r = reader_of(notes);
    while (!reader_at_end(&r)) {
        uint8_t kind = get_u8(&r);
        uint64_t id = get_u64(&r);
        if (kind == NOTE_BEGIN)
            load_begin(l, id, &r);
        else if (kind == NOTE_END)
            ledger_end(l, id, NULL);
        else if (kind == NOTE_RESULT)
            load_result(l, id, &r);
        else if (kind == NOTE_ANSWERED)
            ledger_answered(l, id, get_u64(&r), NULL);
        else
            return ECP_ECORRUPT;
        if (r.bad)
            return ECP_ECORRUPT;
    }
    return 0;
}
