/* SPDX-License-Identifier: Apache-2.0 */
/* The store's file I/O seam: what it does with directories and files, apart from the engine's own
 * map. */
#ifndef STORE_IO_H
#define STORE_IO_H

#include "base/error.h"
#include "base/slice.h"

struct io;
struct io_lock;
struct io_file;

/*
 * Functions return 0 or an enum ecp_error. Those with `why` set it on failure to a sentence that
 * the caller frees. Any thread may call; a file is used by one thread at a time. What was written
 * to a file lasts when sync has returned 0 after it; names made, changed and removed in a
 * directory, when sync_directory has.
 */
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
    /*
     * Holds the directory, until unlock, against those who want it alone: waits while somebody has
     * it so. alone: ECP_EBUSY, at once, while anybody holds it.
     */
    int (*hold)(struct io *io, const char *path, bool alone, struct io_lock **lock);

    /* Opens for reading and writing (only for reading where the file system is read-only); create:
     * makes it, empty, also when it exists. */
    int (*open)(struct io *io, const char *path, bool create, struct io_file **file, char **why);
    void (*close)(struct io *io, struct io_file *file);
    int (*size)(struct io *io, struct io_file *file, uint64_t *bytes);
    /* All of len bytes, or ECP_EIO. */
    int (*read)(struct io *io, struct io_file *file, uint64_t offset, void *to, size_t len);
    int (*write)(struct io *io, struct io_file *file, uint64_t offset, struct slice bytes);
    /* The file gets that size, of zeros behind what it has; the disk's room for it is taken. */
    int (*preallocate)(struct io *io, struct io_file *file, uint64_t bytes);
    int (*truncate)(struct io *io, struct io_file *file, uint64_t bytes);
    int (*sync)(struct io *io, struct io_file *file);

    int (*rename)(struct io *io, const char *from, const char *to);
    int (*remove)(struct io *io, const char *path);
    int (*sync_directory)(struct io *io, const char *path);
    /* Calls each with every file's name. */
    int (*list)(struct io *io, const char *path, void (*each)(void *cookie, const char *name),
                void *cookie);
};

/* An implementation's own struct begins with this. */
struct io {
    const struct io_ops *ops;
};

/* The one real implementation: POSIX. Static, never freed. */
struct io *io_posix(void);

#endif
