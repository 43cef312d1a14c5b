/* SPDX-License-Identifier: Apache-2.0 */
/* What backing up and restoring share: the names in a backup's directory, progress. */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "cli/cli.h"

#define BACKUP_FILE       "backup.ecp"
#define BACKUP_UNFINISHED "backup.ecp.unfinished"

struct backup_progress {
    bool quiet; /* neither progress nor a summary */
    bool shown; /* a line that is not ended stands on the terminal */
    uint64_t next;
};

/* What was made in the directory, and the directory itself, lasts. 0 or enum ecp_error. */
int backup_sync_directory(const char *path);

/* Shows a line on a terminal, at most a few times a second. */
void backup_progress(struct backup_progress *p, uint64_t nodes, uint64_t expected, uint64_t bytes);
/* The line goes away. */
void backup_progress_end(struct backup_progress *p);

#endif
