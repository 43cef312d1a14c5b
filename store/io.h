/* SPDX-License-Identifier: Apache-2.0 */
/* The store's file I/O seam: what it does with directories and files, apart from the engine's own
 * map. */
#ifndef STORE_IO_H
#define STORE_IO_H

#include "base/error.h"
#include "base/slice.h"

struct io;
struct io_lock;

struct io_ops {
    /* Makes the directory (mode 0700) and its missing parents; fine when it exists. */
    int (*make_directory)(struct io *io, const char *path, char **why);
    /*
     * Takes the exclusive lock on the file path, creating it, and writes owner (a text) into it;
     * *lock gets the handle. ECP_EBUSY when another process holds it: *why then quotes the owner's
     * text.
     */
    int (*lock)(struct io *io, const char *path, const char *owner, struct io_lock **lock,
                char **why);
    void (*unlock)(struct io *io, struct io_lock *lock);
};

/* An implementation's own struct begins with this. Failures set *why, a sentence the caller frees.
 */
struct io {
    const struct io_ops *ops;
};

/* The one real implementation: POSIX. Static, never freed. */
struct io *io_posix(void);

#endif
