/* SPDX-License-Identifier: Apache-2.0 */
/* The FUSE device on the loop. */
#ifndef FS_DEVICE_H
#define FS_DEVICE_H

#include "fs/fs.h"

struct event_base;
struct device;

/* Serves requests of fs->session (mounted) until it is unmounted; ended is called once then, works
 * whenever there are requests. */
struct device *device_start(struct fs *fs, struct event_base *base, loop_fn *works, loop_fn *ended,
                            void *cookie);
void device_stop(struct device *device);

#endif
