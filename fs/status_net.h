/* SPDX-License-Identifier: Apache-2.0 */
/* The mount's .ecp/status. */
#ifndef FS_STATUS_NET_H
#define FS_STATUS_NET_H

#include "fs/fs.h"

struct client;

struct status {
    struct fs *fs;
    struct client *client;
    const char *url;
};

/* control_fn; cookie: the struct status. */
void status_lines(void *cookie, struct buf *out);

#endif
