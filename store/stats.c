/* SPDX-License-Identifier: Apache-2.0 */
/* What a database tells of itself to operators. */
#include <inttypes.h>

#include "store/store_int.h"

static const char *durability_text(const struct store *s)
{
    if (!s->journal)
        return "unjournaled";
    switch (s->options.durability) {
    case DURABILITY_INTERVAL:
        return "interval";
    case DURABILITY_NONE:
        return "none";
    default:
        return s->options.wait_durable ? "commit" : "commit-async";
    }
}

static void journal_stats(const struct store *s, struct buf *out)
{
    struct journal_position end = journal_end(s->journal);

    buf_printf(out, "journal_segment %" PRIu64 "\njournal_offset %" PRIu64 "\n", end.segment,
               end.offset);
    buf_printf(out,
               "journal_uncheckpointed_bytes %" PRIu64 "\njournal_unsynced_bytes %" PRIu64 "\n",
               journal_appended(s->journal) - s->checkpointed,
               journal_appended(s->journal) - journal_durable(s->journal));
}

int store_failed(const struct store *s)
{
    return s->failed;
}

void store_stats(const struct store *s, struct buf *out)
{
    buf_printf(out, "database_bytes %" PRIu64 "\ndatabase_limit %" PRIu64 "\nrecords %" PRIu64 "\n",
               s->stat.used + overlay_weight(s->overlay), s->stat.limit, s->stat.records);
    buf_printf(out, "overlay_bytes %zu\ndurability %s\n", overlay_bytes(s->overlay),
               durability_text(s));
    if (s->journal)
        journal_stats(s, out);
    buf_printf(out, "checkpoints %" PRIu64 "\n", s->checkpoints);
    if (s->checkpoints)
        buf_printf(out, "last_checkpoint %" PRIu64 "\n", s->checkpoint_at / LOOP_SEC);
}
