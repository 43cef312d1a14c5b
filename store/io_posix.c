/* SPDX-License-Identifier: Apache-2.0 */
/* The store's file I/O on POSIX: directories and the lock file. */
#include "store/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

struct io_lock {
    int fd;
};

static int io_error(int number)
{
    switch (number) {
    case ENOENT:
        return ECP_ENOENT;
    case ENOTDIR:
        return ECP_ENOTDIR;
    case ENOSPC:
    case EDQUOT:
        return ECP_ENOSPC;
    case EROFS:
        return ECP_EROFS;
    default:
        return ECP_EIO;
    }
}

static int fail(char **why, const char *verb, const char *path)
{
    int number = errno;
    *why = xasprintf("cannot %s %s: %s", verb, path, strerror(number));
    return io_error(number);
}

static int make_directory(struct io *io, const char *path, char **why)
{
    char *part = xstrdup(path);
    int error = 0;
    for (char *at = part + 1; error == 0 && *part; at++) {
        char c = *at;
        if (c && c != '/')
            continue;
        *at = '\0';
        struct stat st;
        if (mkdir(part, 0700) && (errno != EEXIST || stat(part, &st)))
            error = fail(why, "make directory", part);
        *at = c;
        if (!c)
            break;
    }
    struct stat st;
    if (error == 0 && (stat(path, &st) || !S_ISDIR(st.st_mode))) {
        errno = ENOTDIR;
        error = fail(why, "use directory", path);
    }
    free(part);
    return error;
}

static int busy(int fd, const char *path, char **why)
{
    char owner[256];
    ssize_t n = pread(fd, owner, sizeof(owner) - 1, 0);
    owner[n > 0 ? n : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    *why = xasprintf("%s is locked by \"%s\"", path, owner);
    return ECP_EBUSY;
}

static int lock_file(struct io *io, const char *path, const char *owner, struct io_lock **lock,
                     char **why)
{
    int error;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(why, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        error = errno == EWOULDBLOCK ? busy(fd, path, why) : fail(why, "lock", path);
        goto err0;
    }
    size_t len = strlen(owner);
    if (ftruncate(fd, 0) || pwrite(fd, owner, len, 0) != (ssize_t)len) {
        error = fail(why, "write", path);
        goto err0;
    }
    *lock = xmalloc(sizeof(**lock));
    (*lock)->fd = fd;
    return 0;
err0:
    close(fd);
    return error;
}

/* The file stays: removing it would race with the next owner's open. */
static void unlock_file(struct io *io, struct io_lock *lock)
{
    close(lock->fd);
    free(lock);
}

static const struct io_ops ops = {
    .make_directory = make_directory,
    .lock = lock_file,
    .unlock = unlock_file,
};

struct io *io_posix(void)
{
    static struct io io = {.ops = &ops};
    return &io;
}
