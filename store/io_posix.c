/* SPDX-License-Identifier: Apache-2.0 */
/* The store's file I/O on POSIX. */
#include "store/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

struct io_lock {
    int fd;
};

struct io_file {
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
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return ECP_ENOMEM;
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
    size_t len = strlen(owner); /* written over what was there: a full disk has room for that */
    if (pwrite(fd, owner, len, 0) != (ssize_t)len || ftruncate(fd, (off_t)len)) {
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

static int hold_directory(struct io *io, const char *path, bool alone, struct io_lock **lock)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_error(errno);
    int failed;
    do
        failed = flock(fd, alone ? LOCK_EX | LOCK_NB : LOCK_SH);
    while (failed && errno == EINTR);
    if (failed) {
        int error = errno == EWOULDBLOCK ? ECP_EBUSY : io_error(errno);
        close(fd);
        return error;
    }
    *lock = xmalloc(sizeof(**lock));
    (*lock)->fd = fd;
    return 0;
}

/* The file stays: removing it would race with the next owner's open. */
static void unlock_file(struct io *io, struct io_lock *lock)
{
    close(lock->fd);
    free(lock);
}

static int open_file(struct io *io, const char *path, bool create, struct io_file **file,
                     char **why)
{
    int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0);
    int fd = open(path, flags, 0600);
    if (fd < 0 && errno == EROFS && !create) /* to read it will do */
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(why, create ? "make" : "open", path);
    *file = xmalloc(sizeof(**file));
    (*file)->fd = fd;
    return 0;
}

static void close_file(struct io *io, struct io_file *file)
{
    close(file->fd);
    free(file);
}

static int file_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
    struct stat st;
    if (fstat(file->fd, &st))
        return io_error(errno);
    *bytes = (uint64_t)st.st_size;
    return 0;
}

static int read_file(struct io *io, struct io_file *file, uint64_t offset, void *to, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(file->fd, (uint8_t *)to + at, len - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ECP_EIO;
        at += (size_t)n;
    }
    return 0;
}

static int write_file(struct io *io, struct io_file *file, uint64_t offset, struct slice bytes)
{
    for (size_t at = 0; at < bytes.len;) {
        ssize_t n = pwrite(file->fd, bytes.data + at, bytes.len - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? io_error(errno) : ECP_EIO;
        at += (size_t)n;
    }
    return 0;
}

/* Where the file system cannot reserve room, posix_fallocate writes zeros. */
static int preallocate(struct io *io, struct io_file *file, uint64_t bytes)
{
    int number;
    do
        number = posix_fallocate(file->fd, 0, (off_t)bytes);
    while (number == EINTR);
    return number ? io_error(number) : 0;
}

static int truncate_file(struct io *io, struct io_file *file, uint64_t bytes)
{
    return ftruncate(file->fd, (off_t)bytes) ? io_error(errno) : 0;
}

static int sync_file(struct io *io, struct io_file *file)
{
    return fdatasync(file->fd) ? io_error(errno) : 0;
}

static int rename_file(struct io *io, const char *from, const char *to)
{
    return rename(from, to) ? io_error(errno) : 0;
}

static int remove_file(struct io *io, const char *path)
{
    return unlink(path) ? io_error(errno) : 0;
}

static int sync_directory(struct io *io, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_error(errno);
    int error = fsync(fd) ? io_error(errno) : 0;
    close(fd);
    return error;
}

static int list_files(struct io *io, const char *path, void (*each)(void *cookie, const char *name),
                      void *cookie)
{
    DIR *dir = opendir(path);
    if (!dir)
        return io_error(errno);
    for (struct dirent *d; (d = readdir(dir));)
        each(cookie, d->d_name);
    closedir(dir);
    return 0;
}

static const struct io_ops ops = {
    .make_directory = make_directory,
    .lock = lock_file,
    .unlock = unlock_file,
    .hold = hold_directory,
    .open = open_file,
    .close = close_file,
    .size = file_size,
    .read = read_file,
    .write = write_file,
    .preallocate = preallocate,
    .truncate = truncate_file,
    .sync = sync_file,
    .rename = rename_file,
    .remove = remove_file,
    .sync_directory = sync_directory,
    .list = list_files,
};

struct io *io_posix(void)
{
    static struct io io = {.ops = &ops};
    return &io;
}
