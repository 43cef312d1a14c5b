/* SPDX-License-Identifier: Apache-2.0 */
/* The check: the engine in pieces, then the journal before and behind the checkpoint. */
#include "store/check.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/ref.h"
#include "store/base_scan.h"
#include "store/record.h"

#define PROBLEMS_TOLD 100 /* more are counted only */
#define PIECE_BYTES   (16u << 20)

static void tell(struct store_check *c, char *text)
{
    if (++c->problems <= PROBLEMS_TOLD)
        c->problem(c->cookie, text);
    free(text);
}

static void tell_node(struct store_check *c, struct slice key, const char *what)
{
    struct buf ref = {0};
    if (!key_valid(key) || ref_print(&ref, key)) {
        buf_clear(&ref);
        buf_append_str(&ref, "a key of ");
        buf_printf(&ref, "%zu bytes", key.len);
    }
    put_u8(&ref, 0);
    tell(c, xasprintf("%s/data.mdb: node %s: %s", c->directory, (char *)ref.data, what));
    buf_free(&ref);
}

static void check_node(void *cookie, struct slice key, struct slice bytes)
{
    struct store_check *c = cookie;
    struct record record;
    c->records++;
    c->bytes += bytes.len;
    if (key.len == 0 || !key_valid(key))
        tell_node(c, key, "the key is malformed");
    if (record_parse(bytes, &record)) {
        tell_node(c, key, "the record does not decode");
        return;
    }
    c->marks += !(record.flags & NODE_VALUE);
    if (record.stamp > c->newest) {
        c->newest = record.stamp;
        key_copy(&c->newest_key, key);
    }
}

static int check_nodes(struct store_check *c)
{
    struct base_scan scan = {.engine = c->engine};
    int error = 0;
    while (error == 0 && !scan.ended)
        error = base_scan_some(&scan, PIECE_BYTES, check_node, c);
    if (error != ECP_ECORRUPT)
        return error;
    if (scan.last.len)
        tell_node(c, key_slice(&scan.last), "what follows it is damaged, or out of order");
    else
        tell(c, xasprintf("%s/data.mdb: damaged before the first node", c->directory));
    return 0;
}

/* ---- The journal ---- */

struct journal_check {
    struct store_check *check;
    uint64_t stamp;               /* of the record before */
    struct journal_position end;  /* of the record before */
    struct journal_position stop; /* records from here on are not shown; segment 0: none */
};

static const char *wrong_with(const struct journal_check *j, const struct journal_record *record)
{
    struct reader ops = reader_of(record->ops);
    struct journal_op op;
    struct record put;
    if (record->stamp <= j->stamp)
        return "its stamp does not rise";
    while (!reader_at_end(&ops)) {
        if (journal_op_get(&ops, &op))
            return "an operation does not decode";
        if (op.kind != JOURNAL_NOTES && !key_valid(op.key))
            return "a key is malformed";
        if (op.kind == JOURNAL_PUT && record_parse(op.value, &put))
            return "a node's record does not decode";
    }
    return NULL;
}

static bool before(struct journal_position a, struct journal_position b)
{
    return a.segment < b.segment || (a.segment == b.segment && a.offset < b.offset);
}

static int check_record(void *cookie, const struct journal_record *record,
                        struct journal_position position)
{
    struct journal_check *j = cookie;
    if (j->stop.segment && !before(position, j->stop))
        return ECP_ECANCELED;
    const char *wrong = wrong_with(j, record);
    if (wrong)
        tell(j->check,
             xasprintf("%s: journal segment %" PRIu64 ", record at offset %" PRIu64 ": %s",
                       j->check->directory, position.segment, position.offset, wrong));
    j->stamp = record->stamp;
    j->end = position;
    j->end.offset += record->size;
    return 0;
}

static int read_part(struct store_check *c, struct journal_read *read, struct journal_check *j)
{
    char *why = NULL;
    read->io = c->io;
    read->directory = c->directory;
    read->id = c->facts.id;
    read->live = true;
    read->record = check_record;
    read->cookie = j;
    int error = journal_read(read, &why);
    if (error == ECP_ECORRUPT) {
        tell(c, why);
        return 0;
    }
    if (error == 0 || error == ECP_ECANCELED) {
        free(why);
        return 0;
    }
    c->why = why;
    return error;
}

/* What is kept before the checkpoint, and that this stands where a record ends. */
static int check_kept(struct store_check *c)
{
    struct journal_position at = c->facts.position;
    struct journal_check j = {.check = c, .stop = at};
    uint64_t problems = c->problems;
    int error = read_part(c, &c->kept, &j);
    if (error || c->problems > problems || !c->kept.first_segment ||
        c->kept.first_segment > at.segment || c->kept.last_segment < at.segment)
        return error; /* the next read tells what is missing */
    if (at.offset > JOURNAL_SEGMENT_HEAD && memcmp(&j.end, &at, sizeof(at)) != 0)
        tell(c, xasprintf("%s/data.mdb: its checkpoint is of journal segment %" PRIu64
                          " offset %" PRIu64 ", where no record ends",
                          c->directory, at.segment, at.offset));
    else if (j.stamp > c->facts.stamp)
        tell(c, xasprintf("%s/data.mdb: its checkpoint is older than journal segment %" PRIu64
                          " offset %" PRIu64 ", where it stands",
                          c->directory, at.segment, at.offset));
    return 0;
}

static int check_journal(struct store_check *c)
{
    struct journal_check j = {.check = c, .stamp = c->facts.stamp};
    int error = check_kept(c);
    if (error)
        return error;
    c->journal = (struct journal_read){.from = c->facts.position, .may_lack = c->facts.clean};
    error = read_part(c, &c->journal, &j);
    c->stamp = j.stamp;
    return error;
}

/* ---- The whole ---- */

static int check_all(struct store_check *c)
{
    int error = recovery_facts(c->engine, &c->facts);
    if (error == ECP_ECORRUPT) {
        tell(c,
             xasprintf("%s/data.mdb: what it says of the journal does not decode", c->directory));
        error = 0;
    }
    if (error == 0 && c->facts.restoring)
        tell(c, xasprintf("%s/data.mdb: a restore into it did not end", c->directory));
    if (error == 0)
        error = check_nodes(c);
    if (error || !c->facts.found || !c->facts.id)
        return error;
    uint64_t problems = c->problems;
    error = check_journal(c);
    if (error == 0 && c->problems == problems && c->newest > c->stamp)
        tell_node(c, key_slice(&c->newest_key), "its stamp is newer than the journal's end");
    return error;
}

int store_check(struct store_check *c)
{
    struct io_lock *lock;
    int error = c->io->ops->hold(c->io, c->directory, false, &lock);
    if (error)
        return error;
    error = check_all(c);
    c->io->ops->unlock(c->io, lock);
    return error;
}
