/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of backups share: a store on a disk in memory, whose history is known, and streams. */
#ifndef UNIT_TEST_STORE_BACKUP_UTIL_H
#define UNIT_TEST_STORE_BACKUP_UTIL_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "store/backup.h"
#include "store/restore.h"
#include "store/store_int.h"
#include "tests/sim/disk.h"
#include "tests/sim/engine_mem.h"
#include "tests/unit/test_loop.h"

#define HISTORY 3000
#define LIMIT   (UINT64_C(1) << 30)

struct world {
    struct loop *loop;
    struct disk *disk;
    struct engine *engine;
    struct store *store;
    struct store_options options;
    uint64_t seed;
    unsigned gate; /* one of so many commits fails; 0: none */
    bool closed, busy;
    struct {
        uint64_t stamp, sum;
    } history[HISTORY]; /* after each batch */
    unsigned count;
    struct key keys[3], to[3];
    char value[60000];
    struct update updates[3];
};

/* A hash of all records. */
uint64_t engine_sum(struct engine *e);

/* w is malloced; world_tear_down frees it. */
void world_set_up(struct world *w, uint64_t seed);
void world_tear_down(struct world *w);
void world_open(struct world *w);
void world_close(struct world *w);
/* For store_close. */
void world_closed(void *world);

/* Goes on for so many turns: batches, and checkpoints that fail in the middle. */
void world_go_on(struct world *w, unsigned turns);
/* One batch, and until it is done. */
void world_put(struct world *w, const char *name, struct slice value);
void world_set(struct world *w, const char *name, const char *value);
void world_checkpoint(struct world *w);

struct stream {
    struct buf bytes;
    size_t at;
    struct world *busy;  /* goes on while it is written */
    unsigned fail_after; /* writes; 0: never */
    struct store_backup backup;
    struct store_restore restore;
    char *why;
};

int stream_write(void *stream, struct slice bytes);
/* A backup of the world; s is filled in anew. */
int stream_back_up(struct world *w, struct stream *s);
void stream_free(struct stream *s);

/* Into a new engine, which is returned; with the world's journal up to `until` unless that is 0. */
struct engine *stream_restore(struct world *w, struct stream *s, uint64_t until, int *error);
/* What is restored is what was at the stamp it has. */
void stream_restores(struct world *w, struct stream *s, uint64_t until);
void stream_refuses(struct world *w, struct stream *s, uint64_t until, int wanted,
                    const char *text);

/* A new world and its backup: two nodes in the base, two records in the journal. */
void world_small_with(struct world **w, struct stream *s, const char *last);
void world_small(struct world **w, struct stream *s);

#endif
