/* SPDX-License-Identifier: Apache-2.0 */
/* The check: each record decodes, in its place; each record of the journal does. */
#include "store/check.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/ref.h"
#include "store/record.h"

#define PROBLEMS_TOLD 100 /* of the engine's nodes; more are counted only */

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

static void check_node(struct store_check *c, struct slice key, struct slice bytes)
{
    struct record record;
    c->records++;
    c->bytes += bytes.len;
    if (key.len == 0 || !key_valid(key))
        tell_node(c, key, "the key is malformed");
    if (record_parse(bytes, &record)) {
        tell_node(c, key, "the record does not decode");
        return;
    }
    if (record.stamp > c->newest)
        c->newest = record.stamp;
}

static int check_nodes(struct store_check *c, struct engine_txn *txn)
{
    const struct engine_ops *ops = c->engine->ops;
    struct engine_cursor *cursor;
    struct slice key, bytes;
    struct key last = {.len = 0};
    int error = ops->cursor_open(txn, &cursor);
    if (error)
        return error;
    error = ops->seek(cursor, slice_of("", 0), &key, &bytes);
    for (; error == 0; error = ops->next(cursor, &key, &bytes)) {
        if (last.len && slice_compare(key, key_slice(&last)) <= 0)
            tell_node(c, key, "out of order");
        check_node(c, key, bytes);
        if (key.len <= KEY_MAX_LEN)
            key_copy(&last, key);
    }
    ops->cursor_close(cursor);
    return error == ECP_ENOENT ? 0 : error;
}

struct journal_check {
    struct store_check *check;
    uint64_t stamp;
};

static int check_record(void *cookie, const struct journal_record *record,
                        struct journal_position position)
{
    struct journal_check *j = cookie;
    struct reader ops = reader_of(record->ops);
    struct journal_op op;
    struct record put;
    const char *wrong = NULL;
    if (record->stamp <= j->stamp)
        wrong = "its stamp does not rise";
    j->stamp = record->stamp;
    while (!wrong && !reader_at_end(&ops)) {
        if (journal_op_get(&ops, &op))
            wrong = "an operation does not decode";
        else if (!key_valid(op.key))
            wrong = "a key is malformed";
        else if (op.kind == JOURNAL_PUT && record_parse(op.value, &put))
            wrong = "a node's record does not decode";
    }
    if (wrong)
        tell(j->check,
             xasprintf("%s: journal segment %" PRIu64 ", record at offset %" PRIu64 ": %s",
                       j->check->directory, position.segment, position.offset, wrong));
    return 0;
}

static int check_journal(struct store_check *c)
{
    struct journal_check j = {.check = c, .stamp = c->facts.stamp};
    char *why = NULL;
    c->journal = (struct journal_read){.io = c->io,
                                       .directory = c->directory,
                                       .id = c->facts.id,
                                       .from = c->facts.position,
                                       .may_lack = c->facts.clean,
                                       .record = check_record,
                                       .cookie = &j};
    int error = journal_read(&c->journal, &why);
    if (error == ECP_ECORRUPT) {
        tell(c, why);
        return 0;
    }
    free(why);
    return error;
}

int store_check(struct store_check *c)
{
    struct engine_txn *txn;
    int error = recovery_facts(c->engine, &c->facts);
    if (error == ECP_ECORRUPT) {
        tell(c,
             xasprintf("%s/data.mdb: what it says of the journal does not decode", c->directory));
        error = 0;
    }
    if (error || (error = c->engine->ops->read_begin(c->engine, &txn)))
        return error;
    error = check_nodes(c, txn);
    c->engine->ops->read_end(txn);
    return error == 0 && c->facts.found && c->facts.id ? check_journal(c) : error;
}
