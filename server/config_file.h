/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of ecpd: what the file and the command line together ask for. */
#ifndef SERVER_CONFIG_FILE_H
#define SERVER_CONFIG_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "store/store.h"

#define CONFIG_SIZE_DEFAULT (UINT64_C(64) << 30) /* bytes a database may grow to */
#define CONFIG_SIZE_MIN     (UINT64_C(1) << 20)
#define CONFIG_LEASE_MAX    300  /* seconds */
#define CONFIG_RECOVERY_MAX 3600 /* seconds */
#define CONFIG_LOCKS_MAX    100000000
#define CONFIG_CHECKPOINT_AFTER (60 * LOOP_SEC)

struct config_database {
    char *name;
    char *directory; /* as written, may be relative to the data directory */
    uint64_t size;   /* bytes */
    bool journal;
    struct store_options store; /* io and directory are not set */
};

struct config_namespace {
    char *name;
    char *database;
};

/* Owned; config_free. All zero is an empty configuration. */
struct config {
    char **listen;
    size_t listen_count;
    uint32_t max_sessions; /* 0: the default */
    uint32_t max_locks;    /* of a database; 0: the default */
    uint32_t lease;        /* term in seconds; 0: the default */
    uint32_t recovery;     /* window in seconds; 0: the default */
    int log_level;         /* enum log_level */
    struct config_database *databases;
    size_t database_count;
    struct config_namespace *namespaces;
    size_t namespace_count;
};

/*
 * Reads and validates a file. Returns 0, or an enum ecp_error and sets *why (caller frees) to a
 * sentence that names file and line; config is then empty.
 */
int config_read(const char *path, struct config *config, char **why);
void config_free(struct config *config);

void config_add_listen(struct config *config, const char *address);
void config_add_database(struct config *config, const char *name, const char *directory,
                         uint64_t size);
void config_add_namespace(struct config *config, const char *name, const char *database);
const struct config_database *config_find_database(const struct config *config, const char *name);

/* "512M", "64G" (1024-based; K M G T or bytes) -> bytes. -1 when malformed or under
 * CONFIG_SIZE_MIN. */
int config_parse_size(const char *text, uint64_t *size);

#endif
