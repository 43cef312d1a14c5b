/* SPDX-License-Identifier: Apache-2.0 */
/* Soft mounts: after a while without a connection, operations that need the server fail. */
#include <inttypes.h>

#include "base/log.h"
#include "fs/lock.h"
#include "fs/op.h"
#include "fs/upstream_net.h"

/*
 * What the server has not been sent is refused at once, and so known not to be done. What was sent
 * goes on with the session; who waits for it is told EIO by a sweep.
 */
#define SWEEP LOOP_SEC

static void sweep(void *cookie)
{
    struct fs *fs = cookie;
    struct op *op, *next;
    uint64_t now = loop_now(fs->loop);

    for (op = LIST_FIRST(&fs->waiting); op; op = next) {
        next = LIST_NEXT(op, waiting);
        if (now - op->begun >= SWEEP)
            op_time_out(op);
    }
    locks_time_out(fs->locks);
    fs->soft_timer = loop_timer(fs->loop, SWEEP, sweep, fs);
}

static void time_out(void *cookie)
{
    struct fs *fs = cookie;

    log_warning("no connection for %" PRIu64 " s: what needs the server fails (-o soft)",
                fs->timeo / LOOP_SEC);
    fs->failing = true;
    upstream_net_refuse(fs->up);
    fs->soft_timer = loop_timer(fs->loop, SWEEP, sweep, fs);
}

void soft_connected(struct fs *fs, bool connected)
{
    if (connected) {
        loop_cancel(fs->loop, fs->soft_timer);
        fs->soft_timer = NULL;
        fs->failing = false;
    } else if (fs->timeo && !fs->soft_timer) {
        fs->soft_timer = loop_timer(fs->loop, fs->timeo, time_out, fs);
    }
}
