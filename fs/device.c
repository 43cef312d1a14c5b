/* SPDX-License-Identifier: Apache-2.0 */
/* Reads requests from the FUSE device without blocking, a few per turn of the loop. */
#include "fs/device.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"

#define REQUESTS_PER_TURN 32

/* ---- look-ups in parallel ---- */

/*
 * libfuse 3.14 does not hand FUSE_PARALLEL_DIROPS on to the kernel, which then has one LOOKUP or
 * READDIR under way in a directory. So the bit is set in the answer to INIT as it passes by.
 */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 13)

static uint64_t init_unique; /* of INIT, while it has no answer */
static bool init_seen;

static ssize_t read_request(int fd, void *bytes, size_t len, void *userdata)
{
    ssize_t n = read(fd, bytes, len);
    struct fuse_in_header head;
    struct fuse_init_in init;

    (void)userdata;
    if (init_seen || n < (ssize_t)(sizeof(head) + 16))
        return n;
    init_seen = true;
    memset(&init, 0, sizeof(init));
    memcpy(&head, bytes, sizeof(head));
    memcpy(&init, (char *)bytes + sizeof(head), 16);
    if (head.opcode == FUSE_INIT && init.major == FUSE_KERNEL_VERSION &&
        (init.flags & FUSE_PARALLEL_DIROPS))
        init_unique = head.unique;
    return n;
}

static ssize_t write_reply(int fd, struct iovec *iov, int count, void *userdata)
{
    const struct fuse_out_header *head = iov[0].iov_base;
    struct fuse_init_out init;

    (void)userdata;
    if (init_unique && count == 2 && iov[0].iov_len == sizeof(*head) &&
        head->unique == init_unique && head->error == 0 &&
        iov[1].iov_len >= FUSE_COMPAT_22_INIT_OUT_SIZE && iov[1].iov_len <= sizeof(init)) {
        memcpy(&init, iov[1].iov_base, iov[1].iov_len);
        if (init.major == FUSE_KERNEL_VERSION)
            init.flags |= FUSE_PARALLEL_DIROPS;
        iov[1].iov_base = &init;
        init_unique = 0;
    }
    return writev(fd, iov, count);
}

static void look_up_in_parallel(struct fuse_session *session)
{
    static const struct fuse_custom_io io = {.writev = write_reply, .read = read_request};

    fuse_session_custom_io(session, &io, fuse_session_fd(session));
}

#else

static void look_up_in_parallel(struct fuse_session *session)
{
    (void)session;
}

#endif

/* ---- requests ---- */

struct device {
    struct fs *fs;
    struct event *event;
    struct fuse_buf buf;
    loop_fn *works, *ended;
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
    d->works(d->cookie);
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

struct device *device_start(struct fs *fs, struct event_base *base, loop_fn *works, loop_fn *ended,
                            void *cookie)
{
    struct device *d = xcalloc(1, sizeof(*d));
    int fd = fuse_session_fd(fs->session);

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    look_up_in_parallel(fs->session);
    d->fs = fs;
    d->works = works;
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
