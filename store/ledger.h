/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions a database knows, how far each has come, and what became of its last batches. */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include <bsd/sys/tree.h>
#include "base/buf.h"

/*
 * So that a session goes on after the server was started anew, and each of its batches is applied
 * once. What changes the ledger goes into the journal as notes, each with the next record; a
 * checkpoint keeps all of it. Sessions that are not begun here are not looked at.
 */
struct ledger_outcome {
    uint64_t sequence, stamp;
    uint32_t index; /* of the update that failed, when error is set */
    int error;
    struct slice values; /* of INCREMENTs, bytes32 each; on the heap */
};

enum ledger_flags {
    LEDGER_LOCKS = 1,  /* it may hold locks */
    LEDGER_RETAINS = 2 /* its client may have answers to batches that are not durable */
};

struct ledger_session {
    RB_ENTRY(ledger_session) tree;
    uint64_t id, secret;
    uint64_t last;     /* sequence of the newest batch that is known */
    uint64_t answered; /* the client has the answers up to this one */
    uint64_t noted;    /* and the journal says so of this one */
    unsigned flags;    /* enum ledger_flags */
    struct ledger_outcome *outcomes; /* of the batches after `answered`, as far as known */
    size_t head, count, capacity;
};

struct ledger;
struct ledger *ledger_new(void);
void ledger_free(struct ledger *ledger);

struct ledger_session *ledger_find(struct ledger *ledger, uint64_t id);
/* The first (of NULL), the next; NULL. */
struct ledger_session *ledger_next(struct ledger *ledger, struct ledger_session *session);
/* Of a batch after `answered`; NULL: not known. */
const struct ledger_outcome *ledger_outcome(const struct ledger_session *session,
                                            uint64_t sequence);

/* Changes. Those with `notes` append what the journal needs to say the same, unless it is NULL. */
void ledger_begin(struct ledger *ledger, uint64_t id, uint64_t secret, unsigned flags,
                  struct buf *notes);
void ledger_end(struct ledger *ledger, uint64_t id, struct buf *notes);
/* Whether some session has LEDGER_RETAINS. */
bool ledger_retains(struct ledger *ledger);
/* All is durable: none has it any more. Wants no note when all of the ledger is saved after it. */
void ledger_settle(struct ledger *ledger);
void ledger_result(struct ledger *ledger, uint64_t id, const struct ledger_outcome *outcome,
                   struct buf *notes);
void ledger_answered(struct ledger *ledger, uint64_t id, uint64_t sequence, struct buf *notes);

/* Notes that make an empty ledger into this one. */
void ledger_save(struct ledger *ledger, struct buf *notes);
/* Takes notes over; 0 or ECP_ECORRUPT. */
int ledger_load(struct ledger *ledger, struct slice notes);

#endif
