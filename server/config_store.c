/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a database's entries about journal, durability and memory. */
#include "server/config_store.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MAX 60000 /* ms */

/* "interval=200" -> ns; 0 when it is none. */
static uint64_t parse_interval(const char *text)
{
    unsigned long ms;
    char *end;

    if (strncmp(text, "interval=", 9) != 0 || !isdigit((unsigned char)text[9]))
        return 0;
    errno = 0;
    ms = strtoul(text + 9, &end, 10);
    return errno || *end || ms > INTERVAL_MAX ? 0 : ms * LOOP_MS;
}

static int take_durability(cfg_t *section, const char *text, struct store_options *store)
{
    if (strcmp(text, "commit") == 0) {
        store->durability = DURABILITY_COMMIT;
    } else if (strcmp(text, "none") == 0) {
        store->durability = DURABILITY_NONE;
    } else if ((store->interval = parse_interval(text))) {
        store->durability = DURABILITY_INTERVAL;
    } else {
        cfg_error(section, "durability is commit, interval=MS (1 to %d) or none, not \"%s\"",
                  INTERVAL_MAX, text);
        return -1;
    }
    return 0;
}

static int take_acknowledge(cfg_t *section, const char *text, struct store_options *store)
{
    store->wait_durable = strcmp(text, "durable") == 0;
    if (store->wait_durable || strcmp(text, "applied") == 0)
        return 0;
    cfg_error(section, "acknowledge is durable or applied, not \"%s\"", text);
    return -1;
}

int config_take_store(cfg_t *section, struct config_database *database)
{
    const char *durability = cfg_getstr(section, "durability");
    const char *acknowledge = cfg_getstr(section, "acknowledge");
    const char *memory = cfg_getstr(section, "memory");
    const char *keep = cfg_getstr(section, "journal-keep");

    database->journal = cfg_getbool(section, "journal");
    if (durability && take_durability(section, durability, &database->store) < 0)
        return -1;
    if (acknowledge && take_acknowledge(section, acknowledge, &database->store) < 0)
        return -1;
    if (memory && config_parse_size(memory, &database->store.overlay_bytes) < 0) {
        cfg_error(section, "memory: \"%s\" is no size (like 64M, at least 1M)", memory);
        return -1;
    }
    if (keep && !journal_keep_parse(keep, &database->store.keep)) {
        cfg_error(section, "journal-keep is " JOURNAL_KEEP_FORMS ", not \"%s\"", keep);
        return -1;
    }
    return 0;
}
