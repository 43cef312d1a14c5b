/* SPDX-License-Identifier: Apache-2.0 */
/* How a database is kept: the entries of its section for the store. */
#ifndef SERVER_CONFIG_STORE_H
#define SERVER_CONFIG_STORE_H

#include <confuse.h>
#include "server/config_file.h"

/* Entries of the grammar of a database's section. */
#define CONFIG_STORE_OPTIONS                                                                       \
    CFG_BOOL("journal", cfg_true, CFGF_NONE), CFG_STR("durability", NULL, CFGF_NONE),              \
        CFG_STR("acknowledge", NULL, CFGF_NONE), CFG_STR("memory", NULL, CFGF_NONE),               \
        CFG_STR("journal-keep", NULL, CFGF_NONE)

/* Takes them over into the database. -1 after an error told by cfg_error. */
int config_take_store(cfg_t *section, struct config_database *database);

#endif
