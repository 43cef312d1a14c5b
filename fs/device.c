/* SPDX-License-Identifier: Apache-2.0 */
/* Reads requests from the FUSE device without blocking, a few per turn of the loop. */
#include "fs/device.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>

#include "base/log.h"

#define REQUESTS_PER_TURN 32

struct device {
    struct fs *fs;
    struct event *event;
    struct fuse_buf buf;
    loop_fn *ended;
    void *cookie;
};

static void end(struct device *d)
{
    event_del(d->event);
    loop_soon(d->fs->loop, d->ended, d->cookie);
}

static void readable(evutil_socket_t fd, short what, void *cookie)
{
    struct device *d = cookie;
    struct fuse_session *se = d->fs->session;

    (void)fd;
    (void)what;
    for (int i = 0; i < REQUESTS_PER_TURN; i++) {
        int n = fuse_session_receive_buf(se, &d->buf);
        if (n == -EINTR)
            continue;
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            if (n < 0 && n != -ENODEV)
                log_error("the FUSE device failed: %s", strerror(-n));
            end(d);
            return;
        }
        d->fs->requests++;
        fuse_session_process_buf(se, &d->buf);
        if (fuse_session_exited(se)) {
            end(d);
            return;
        }
    }
}

struct device *device_start(struct fs *fs, struct event_base *base, loop_fn *ended, void *cookie)
{
    struct device *d = xcalloc(1, sizeof(*d));
    int fd = fuse_session_fd(fs->session);

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    d->fs = fs;
    d->ended = ended;
    d->cookie = cookie;
    d->event = event_new(base, fd, EV_READ | EV_PERSIST, readable, d);
    event_add(d->event, NULL);
    return d;
}

void device_stop(struct device *d)
{
    event_free(d->event);
    free(d->buf.mem);
    free(d);
}
