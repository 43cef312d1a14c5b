/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's writer: segments made ahead, groups of records written by a worker. */
#include "store/journal.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mutation.h"

#define KEEP_MAX   (4u << 20) /* bytes of a buffer that is kept */
#define LEAST_SIZE (1u << 20) /* bytes of a segment on a disk that is nearly full */

struct segment {
    uint64_t number;
    uint64_t size; /* 0: there is none */
    struct io_file *file;
};

/* A run of bytes for one segment. */
struct piece {
    struct segment segment;
    uint64_t offset;
    size_t start, len;
    bool last; /* the segment ends with it */
};

/* What is written in one go. Belongs to the worker while it flies. */
struct flight {
    struct buf bytes;
    struct piece *pieces;
    size_t count, cap;
    struct segment segment; /* where it ends; synced when sync */
    uint64_t offset;        /* its end there */
    uint64_t mark;          /* bytes appended up to its end */
    bool sync;
    int error;
};

#define GATHER_TIME  (5 * LOOP_MS)
#define GATHER_BYTES (256u << 10)

struct journal {
    struct loop *loop;
    struct journal_config config;
    char *directory;
    struct loop_worker *worker;
    loop_fn *moved;
    void *cookie;
    int error;
    struct segment current, next;
    uint64_t number; /* of the segment made last */
    uint64_t offset; /* where the next record goes in current */
    uint64_t appended, durable;
    struct journal_position durable_at;
    struct flight filling, flying;
    bool in_flight;
    bool want_sync;
    struct loop_event *timer;
    struct loop_event *gather; /* nobody waits for the disk: what comes meanwhile goes along */
    struct segment made;       /* being made by the worker */
    uint64_t least;            /* size that will do where there is no room for more */
    bool making;
    int make_error;
    journal_room_fn *room_done;
    void *room_cookie;
};

static char *path_of(const char *directory, const char *name)
{
    return xasprintf("%s/%s", directory, name);
}

struct journal *journal_new(struct loop *loop, const struct journal_config *config, uint64_t first,
                            loop_fn *moved, void *cookie)
{
    struct journal *j = xcalloc(1, sizeof(*j));
    j->loop = loop;
    j->config = *config;
    j->directory = xstrdup(config->directory);
    j->worker = loop_worker_new(loop, "journal");
    j->moved = moved;
    j->cookie = cookie;
    j->number = first - 1;
    j->current.number = first;
    j->offset = JOURNAL_SEGMENT_HEAD;
    return j;
}

bool journal_idle(const struct journal *j)
{
    return !j->in_flight && !j->making;
}

static void flight_free(struct flight *f)
{
    buf_free(&f->bytes);
    free(f->pieces);
}

void journal_free(struct journal *j)
{
    struct io *io = j->config.io;
    loop_cancel(j->loop, j->timer);
    loop_cancel(j->loop, j->gather);
    loop_worker_free(j->loop, j->worker);
    if (j->current.file)
        io->ops->close(io, j->current.file);
    if (j->next.file)
        io->ops->close(io, j->next.file);
    flight_free(&j->filling);
    flight_free(&j->flying);
    free(j->directory);
    free(j);
}

/* ---- Making segments ---- */

static int make_file(struct journal *j, struct segment *s, const char *path, const char *temporary)
{
    struct io *io = j->config.io;
    uint8_t head[JOURNAL_SEGMENT_HEAD];
    char *why = NULL;
    int error = io->ops->open(io, temporary, true, &s->file, &why);
    free(why);
    if (error)
        return error;
    journal_segment_head(head, j->config.id, s->number);
    if ((error = io->ops->preallocate(io, s->file, s->size)) ||
        (error = io->ops->write(io, s->file, 0, slice_of(head, sizeof(head)))) ||
        (error = io->ops->sync(io, s->file)) || (error = io->ops->rename(io, temporary, path)) ||
        (error = io->ops->sync_directory(io, j->directory))) {
        io->ops->close(io, s->file);
        io->ops->remove(io, temporary);
    }
    return error;
}

static void make_work(void *cookie)
{
    struct journal *j = cookie;
    char name[JOURNAL_NAME_MAX];
    journal_name(name, j->made.number);
    char *path = path_of(j->directory, name), *temporary = path_of(j->directory, JOURNAL_TEMPORARY);
    j->make_error = make_file(j, &j->made, path, temporary);
    if (j->make_error == ECP_ENOSPC && j->least < j->made.size) {
        j->made.size = j->least;
        j->make_error = make_file(j, &j->made, path, temporary);
    }
    free(temporary);
    free(path);
}

static void make_done(void *cookie)
{
    struct journal *j = cookie;
    journal_room_fn *done = j->room_done;
    j->making = false;
    j->room_done = NULL;
    if (j->make_error == 0) {
        j->number = j->made.number;
        if (j->current.size)
            j->next = j->made;
        else
            j->current = j->made;
    }
    if (done)
        done(j->room_cookie, j->make_error);
    else
        j->moved(j->cookie);
}

static void make(struct journal *j, size_t record)
{
    uint64_t need = JOURNAL_SEGMENT_HEAD + record + JOURNAL_RECORD_HEAD;
    j->making = true;
    j->made = (struct segment){.number = j->number + 1, .size = j->config.segment_size};
    if (j->made.size < need)
        j->made.size = need;
    j->least = need > LEAST_SIZE ? need : LEAST_SIZE;
    loop_worker_run(j->loop, j->worker, make_work, make_done, j);
}

/* ---- Appending ---- */

/* A record's room in the current segment leaves room for the mark that ends it. */
static bool fits_at(uint64_t size, uint64_t offset, size_t record)
{
    return size >= offset + record + JOURNAL_RECORD_HEAD;
}

bool journal_fits(const struct journal *j, size_t ops)
{
    size_t size = journal_record_size(ops);
    return fits_at(j->current.size, j->offset, size) ||
           fits_at(j->next.size, JOURNAL_SEGMENT_HEAD, size);
}

static void note(struct journal *j, size_t start, bool last)
{
    struct flight *f = &j->filling;
    struct piece *p = f->count ? &f->pieces[f->count - 1] : NULL;
    size_t len = f->bytes.len - start;
    if (p && p->segment.number == j->current.number) {
        p->len += len;
        p->last = last;
    } else {
        if (f->count == f->cap) {
            f->cap = f->cap ? f->cap * 2 : 4;
            f->pieces = xrealloc(f->pieces, f->cap * sizeof(*f->pieces));
        }
        f->pieces[f->count++] = (struct piece){
            .segment = j->current, .offset = j->offset, .start = start, .len = len, .last = last};
    }
    j->offset += len;
    j->appended += len;
}

static void add(struct journal *j, const struct journal_record *record, bool last)
{
    struct journal_record r = *record;
    size_t start = j->filling.bytes.len;
    r.durable = j->durable_at.segment == j->current.number ? j->durable_at.offset : 0;
    journal_record_put(&j->filling.bytes, j->config.id, journal_end(j), &r);
    note(j, start, last);
}

/* Ends the current segment and goes on in the next. */
static void advance(struct journal *j)
{
    add(j, &(struct journal_record){0}, true);
    j->current = j->next;
    j->next = (struct segment){0};
    j->offset = JOURNAL_SEGMENT_HEAD;
}

/* A segment made already, but too small for this one record, is passed over. */
void journal_make_room(struct journal *j, size_t ops, journal_room_fn *done, void *cookie)
{
    j->room_done = done;
    j->room_cookie = cookie;
    if (j->making)
        return;
    if (j->next.size)
        advance(j);
    make(j, journal_record_size(ops));
}

void journal_append(struct journal *j, const struct journal_record *record)
{
    size_t size = journal_record_size(record->ops.len);
    if (!fits_at(j->current.size, j->offset, size))
        advance(j);
    add(j, record, false);
    if (!j->next.size && !j->making && j->offset > j->current.size / 2)
        make(j, 0);
}

struct journal_position journal_seal(struct journal *j)
{
    uint64_t number = j->current.number;
    if (journal_begun(j)) {
        add(j, &(struct journal_record){0}, false);
        number++;
    }
    return (struct journal_position){.segment = number, .offset = JOURNAL_SEGMENT_HEAD};
}

uint64_t journal_appended(const struct journal *j)
{
    return j->appended;
}

uint64_t journal_durable(const struct journal *j)
{
    return j->durable;
}

int journal_error(const struct journal *j)
{
    return j->error;
}

struct journal_position journal_end(const struct journal *j)
{
    return (struct journal_position){.segment = j->current.number, .offset = j->offset};
}

bool journal_begun(const struct journal *j)
{
    return j->current.size;
}

uint64_t journal_next_segment(const struct journal *j)
{
    return j->number + 1;
}

/* ---- Writing ---- */

/* A segment is on disk before anything is written to the one after it. */
static int write_piece(struct io *io, const struct flight *f, const struct piece *p)
{
    struct slice bytes = slice_of(f->bytes.data + p->start, p->len);
    int error = io->ops->write(io, p->segment.file, p->offset, bytes);
    if (error == 0 && p->last && !MUTATION(MUTATION_NEXT))
        error = io->ops->sync(io, p->segment.file);
    return error;
}

static void flight_work(void *cookie)
{
    struct journal *j = cookie;
    struct flight *f = &j->flying;
    struct io *io = j->config.io;
    for (size_t i = 0; i < f->count && !f->error; i++)
        f->error = write_piece(io, f, &f->pieces[i]);
    if (f->error == 0 && f->sync)
        f->error = io->ops->sync(io, f->segment.file);
    if (f->error && MUTATION(MUTATION_SYNC_AGAIN))
        f->error = io->ops->sync(io, f->segment.file);
}

static void timer_fired(void *cookie)
{
    struct journal *j = cookie;
    j->timer = NULL;
    journal_write(j, true);
}

static void flight_done(void *cookie)
{
    struct journal *j = cookie;
    struct flight *f = &j->flying;
    j->in_flight = false;
    for (size_t i = 0; i < f->count; i++)
        if (f->pieces[i].last)
            j->config.io->ops->close(j->config.io, f->pieces[i].segment.file);
    if (f->error) {
        j->error = ECP_EIO;
        log_error("%s: the journal cannot be written (%s): no update is taken any more",
                  j->directory, error_text(f->error));
    } else if (f->sync || MUTATION(MUTATION_SYNC_EARLY)) {
        j->durable = f->mark;
        j->durable_at =
            (struct journal_position){.segment = f->segment.number, .offset = f->offset};
    }
    if (!j->error && j->config.durability == DURABILITY_INTERVAL && !j->timer &&
        j->durable < j->appended)
        j->timer = loop_timer(j->loop, j->config.interval, timer_fired, j);
    buf_clear(&f->bytes);
    if (f->bytes.cap > KEEP_MAX)
        buf_free(&f->bytes);
    f->count = 0;
    journal_write(j, false);
    j->moved(j->cookie);
}

static void take_off(struct journal *j, bool sync)
{
    struct flight f = j->filling;
    j->filling = j->flying;
    j->flying = f;
    j->flying.segment = j->current;
    j->flying.offset = j->offset;
    j->flying.mark = j->appended;
    j->flying.sync = sync;
    j->flying.error = 0;
    j->want_sync = false;
    j->in_flight = true;
    loop_cancel(j->loop, j->gather);
    j->gather = NULL;
    loop_worker_run(j->loop, j->worker, flight_work, flight_done, j);
}

static bool may_fly(const struct journal *j)
{
    return !j->in_flight && !j->error && j->current.size != 0;
}

static void gathered(void *cookie)
{
    struct journal *j = cookie;
    j->gather = NULL;
    if (may_fly(j) && j->filling.count > 0)
        take_off(j, false);
}

void journal_write(struct journal *j, bool sync)
{
    j->want_sync |= sync;
    if (!may_fly(j))
        return;
    sync = j->want_sync || j->config.durability == DURABILITY_COMMIT;
    if (j->filling.count == 0 && !(sync && j->durable < j->appended))
        return;
    if (sync || j->filling.bytes.len >= GATHER_BYTES)
        take_off(j, sync);
    else if (!j->gather)
        j->gather = loop_timer(j->loop, GATHER_TIME, gathered, j);
}

void journal_purge(struct io *io, const char *directory, uint64_t from, uint64_t before)
{
    char name[JOURNAL_NAME_MAX];
    for (uint64_t n = from; n < before; n++) {
        journal_name(name, n);
        char *path = path_of(directory, name);
        io->ops->remove(io, path);
        free(path);
    }
}
