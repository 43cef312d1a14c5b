/* SPDX-License-Identifier: Apache-2.0 */
/* What a base knows of itself, for opening and for checking it. */
#ifndef STORE_RECOVERY_H
#define STORE_RECOVERY_H

#include <stdbool.h>

#include "store/engine.h"
#include "store/journal_format.h"

/* The facts beside the engine's map: how far it has come. */
struct store_facts {
    uint64_t stamp;                   /* newest; 0: none */
    bool restoring;                   /* a restore has not ended */
    bool found;                       /* the following are */
    uint64_t id;                      /* of the database; 0: unjournaled */
    struct journal_position position; /* the engine has what the journal says before it */
    bool clean;                       /* there need be no segment there yet */
    uint64_t start;                   /* stamps since the last start are greater; 0: not known */
    struct slice sessions;            /* for writing: notes of the ledger; data NULL: as it was */
};

/* Reads them; found is false in a base that has none. */
int recovery_facts(struct engine *base, struct store_facts *facts);

/* Marks the base as unfit to be opened, or fit. */
int recovery_mark_restoring(struct engine *base, bool restoring);

#endif
