/* SPDX-License-Identifier: Apache-2.0 */
/* The directory .locks: lists the locks held and waited for; a file in it stands for a reference. */
#include "fs/listing.h"
#include "fs/lock.h"

#include <inttypes.h>
#include <time.h>

#include "base/name.h"
#include "base/ref.h"

/* ---- names ---- */

int locks_resolve(struct slice component, struct buf *text)
{
    uint8_t bytes[NAME_MAX_LEN];
    struct buf again = {0};
    struct key key;
    bool continued, same;
    int n = name_decode(component, 0, bytes, &continued);

    if (n < 0 || continued || ref_parse_all(slice_of(bytes, (size_t)n), &key) != 0 ||
        !name_canonical(slice_of(bytes, (size_t)n), 0, component))
        return ECP_ENOENT;
    same = ref_print(&again, key_slice(&key)) == 0 &&
           slice_equal(buf_slice(&again), slice_of(bytes, (size_t)n));
    buf_free(&again);
    if (!same)
        return ECP_ENOENT;
    buf_append_slice(text, key_slice(&key));
    return 0;
}

static void add_row(struct listing *l, const struct call_lock_row *row)
{
    char name[NAME_MAX_LEN];
    struct buf ref = {0};
    size_t covered, len;
    bool continued = true;

    if (ref_print(&ref, row->name) == 0) {
        len = name_encode(buf_slice(&ref), 0, name, &covered, &continued);
        if (!continued) /* else it is too long to be one name */
            listing_add(l, slice_of(name, len), false,
                        inode_number(INODE_LOCKS_FILE, slice_of(NULL, 0), row->name));
    }
    buf_free(&ref);
}

/* ---- asking ---- */

#define TRIES 5
#define PAUSE (10 * LOOP_MS)

static void ask(void *cookie)
{
    struct op *op = cookie;

    op->watch = NULL;
    op->list = lock_net_list(op->fs->locks, buf_slice(&op->in->text), op->listed, op);
}

/* The sessions are asked which of the locks that they keep are used: what they say comes soon. */
static bool ask_again(struct op *op, const struct call_locks *locks)
{
    for (size_t i = 0; i < locks->count && op->flags < TRIES; i++)
        if (locks->rows[i].kept) {
            op->flags++;
            op->watch = loop_timer(op->fs->loop, PAUSE, ask, op);
            return true;
        }
    return false;
}

/* ---- listing ---- */

static int compare_names(const void *a, const void *b)
{
    const struct call_lock_row *const *x = a, *const *y = b;

    return slice_compare((*x)->name, (*y)->name);
}

static void list_done(void *cookie, int error, const struct call_locks *locks)
{
    struct op *op = cookie;
    struct listing *l = (struct listing *)(uintptr_t)op->fi.fh;
    const struct call_lock_row **rows;

    op->list = NULL;
    if (error) {
        op_error(op, error);
        return;
    }
    if (ask_again(op, locks))
        return;
    rows = xcalloc(locks->count + 1, sizeof(*rows));
    for (size_t i = 0; i < locks->count; i++)
        rows[i] = &locks->rows[i];
    qsort(rows, locks->count, sizeof(*rows), compare_names);
    for (size_t i = 0; i < locks->count; i++)
        if (i == 0 || !slice_equal(rows[i]->name, rows[i - 1]->name))
            add_row(l, rows[i]);
    free(rows);
    l->to_end = true;
    op->then(op);
}

void locks_list(struct op *op)
{
    op->listed = list_done;
    ask(op);
}

/* ---- a file: who holds the name, or what is below it, and who waits ---- */

/* What a handle reads: as it was when the file was read from its beginning. */
struct lock_text {
    LIST_ENTRY(lock_text) link;
    uint64_t handle;
    struct buf text;
};

static struct lock_text *text_of(struct fs *fs, uint64_t handle)
{
    struct lock_text *t;

    LIST_FOREACH (t, &fs->lock_texts, link)
        if (t->handle == handle)
            return t;
    return NULL;
}

static void put_time(struct buf *out, uint64_t ns)
{
    time_t seconds = (time_t)(ns / LOOP_SEC);
    char text[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_append_str(out, text);
}

static const char *state_of(const struct call_lock_row *row)
{
    return row->kept ? "kept" : !row->waiting ? "held" : row->deadlocked ? "deadlock" : "waits";
}

static void put_row(struct buf *out, const struct call_lock_row *row)
{
    buf_printf(out, "%-8s %-9s ", state_of(row), row->exclusive ? "exclusive" : "shared");
    put_time(out, row->since);
    buf_printf(out, " %5" PRIu32 "  ", row->count);
    ref_print(out, row->name);
    if (row->start != 0 || row->end != UINT64_MAX)
        buf_printf(out, " [%" PRIu64 ",%" PRId64 ")", row->start,
                   row->end == UINT64_MAX ? -1 : (int64_t)row->end);
    buf_append_str(out, "  ");
    for (size_t i = 0; i < row->text.len; i++)
        put_u8(out, row->text.data[i] < ' ' || row->text.data[i] == 0x7F ? '?' : row->text.data[i]);
    put_u8(out, '\n');
}

static void read_done(void *cookie, int error, const struct call_locks *locks)
{
    struct op *op = cookie;
    struct fs *fs = op->fs;
    struct lock_text *t = text_of(fs, op->fi.fh);

    op->list = NULL;
    if (error) {
        op_error(op, error);
        return;
    }
    if (ask_again(op, locks))
        return;
    if (!t) {
        t = xcalloc(1, sizeof(*t));
        t->handle = op->fi.fh;
        LIST_INSERT_HEAD(&fs->lock_texts, t, link);
    }
    buf_clear(&t->text);
    for (size_t i = 0; i < locks->count; i++)
        put_row(&t->text, &locks->rows[i]);
    op_part(op, buf_slice(&t->text));
}

void locks_read(fuse_req_t req, struct inode *in, const struct fuse_file_info *fi, size_t size,
                off_t offset)
{
    struct fs *fs = in->fs;
    struct lock_text *t = text_of(fs, fi->fh);
    struct op *op;

    if (in->kind == INODE_LOCK || offset > 0) {
        reply_part(req, t ? buf_slice(&t->text) : slice_of(NULL, 0), (uint64_t)offset, size);
        return;
    }
    op = op_new(fs, req, in);
    op->fi = *fi;
    op->size = size;
    op->listed = read_done;
    ask(op);
}

void locks_read_end(struct fs *fs, uint64_t handle)
{
    struct lock_text *t = text_of(fs, handle);

    if (!t)
        return;
    LIST_REMOVE(t, link);
    buf_free(&t->text);
    free(t);
}
