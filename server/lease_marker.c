/* SPDX-License-Identifier: Apache-2.0 */
/* The file that tells the next start of leases that may still run after a crash. */
#include "server/lease_marker.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/log.h"
#include "base/loop.h"

static bool sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool write_file(const char *path, uint64_t ms)
{
    FILE *file = fopen(path, "we");
    bool ok;

    if (!file)
        return false;
    ok =
        fprintf(file, "%" PRIu64 "\n", ms) > 0 && fflush(file) == 0 && fdatasync(fileno(file)) == 0;
    return fclose(file) == 0 && ok;
}

bool lease_marker_write(const char *directory, uint64_t term)
{
    char *path = xasprintf("%s/" LEASE_MARKER, directory), *fresh = xasprintf("%s.new", path);
    bool ok = write_file(fresh, (term + LOOP_MS - 1) / LOOP_MS) && rename(fresh, path) == 0 &&
              sync_directory(directory);

    if (!ok)
        log_error("%s cannot be written: %s; clients get no leases and cache nothing", path,
                  strerror(errno));
    free(fresh);
    free(path);
    return ok;
}

void lease_marker_remove(const char *directory)
{
    char *path = xasprintf("%s/" LEASE_MARKER, directory);

    if (unlink(path) < 0 && errno != ENOENT)
        log_warning("%s cannot be removed: %s; updates will wait after the next start", path,
                    strerror(errno));
    free(path);
}

uint64_t lease_marker_read(const char *directory, uint64_t longest)
{
    char *path = xasprintf("%s/" LEASE_MARKER, directory);
    FILE *file = fopen(path, "re");
    uint64_t ms, term = longest;

    if (!file && errno == ENOENT)
        term = 0;
    else if (file && fscanf(file, "%" SCNu64, &ms) == 1 && ms > 0 && ms <= longest / LOOP_MS)
        term = ms * LOOP_MS;
    else
        log_warning("%s cannot be understood: taken for a term of %" PRIu64 " s", path,
                    longest / LOOP_SEC);
    if (file)
        fclose(file);
    free(path);
    return term;
}
