/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: import's reader takes the same nodes wherever the input is cut into reads. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* What the reader hands to the other half of import: kept here instead of sent. */
static struct buf *taken;

int import_send(struct import_sender *sender, struct slice key, struct slice value)
{
    check(key.len > 0 && key.len <= KEY_MAX_LEN && key_valid(key));
    check(value.len <= VALUE_MAX_LEN);
    put_bytes16(taken, key);
    put_bytes32(taken, value);
    return 0;
}

void import_progress(struct import *im)
{
}

int cli_failed(struct cli *cli, const char *format, ...)
{
    return EXIT_FAILED;
}

/* Each piece comes with a read of its own. */
static void put(int fd, const uint8_t *data, size_t size)
{
    if (size)
        check(send(fd, data, size, 0) == (ssize_t)size);
}

/* Returns the reader's status; *bad counts refused records. */
static int import_cut(const uint8_t *data, size_t size, size_t cut, struct buf *nodes,
                      uint64_t *bad)
{
    enum { QUIET = 1000 }; /* so many bad records that no more are shown */
    struct import im = {.bad = QUIET};
    int fds[2];
    taken = nodes;
    check(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
    put(fds[1], data, cut);
    put(fds[1], data + cut, size - cut);
    close(fds[1]);
    int code = import_file(&im, fds[0], "fuzz");
    close(fds[0]);
    *bad = im.bad - QUIET;
    return code;
}

/* The first two bytes say where to cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536)
        return 0;
    size_t cut = ((size_t)data[0] << 8 | data[1]) % (size - 1);
    struct buf whole = {0}, parts = {0};
    uint64_t whole_bad, parts_bad;
    int code = import_cut(data + 2, size - 2, 0, &whole, &whole_bad);
    check(import_cut(data + 2, size - 2, cut, &parts, &parts_bad) == code);
    check(whole_bad == parts_bad);
    check(slice_equal(buf_slice(&whole), buf_slice(&parts)));
    buf_free(&whole);
    buf_free(&parts);
    return 0;
}
