/* SPDX-License-Identifier: Apache-2.0 */
/* ecpfs: connects, mounts, serves, and reports how the start went. */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/daemonize.h"
#include "base/log.h"
#include "fs/device.h"
#include "fs/lock.h"
#include "fs/options.h"
#include "fs/status_net.h"
#include "fs/upstream_net.h"
#include "net/call.h"
#include "net/event.h"
#include "net/url.h"

#define END_TIME     (30 * LOOP_SEC) /* to send what is pending after an unmount */
#define GIVE_UP_TIME LOOP_SEC        /* at the most, for what is under way to hear of its end */

struct mount {
    struct options o;
    struct url url;
    char *where; /* absolute mountpoint */
    struct fs fs;
    struct network *network;
    struct client *client;
    struct status shown; /* as .ecp/status */
    struct device *device;
    struct event *signals[3];
    int report; /* of daemonize; -1 in the foreground, and once told */
    int status;
    char *why; /* the server is away, as the log says already; or NULL */
    bool mounted, ending;
    struct loop_event *deadline;
};

static void fail(struct mount *m, char *text)
{
    m->status = daemonize_failed(m->report, "ecpfs", text);
    m->report = -1;
    free(text);
    event_loop_stop(m->fs.loop);
}

/* ---- the end ---- */

static void stop(void *cookie)
{
    struct mount *m = cookie;
    event_loop_stop(m->fs.loop);
}

static void given_up(void *cookie)
{
    struct mount *m = cookie;

    m->deadline = NULL;
    event_loop_stop(m->fs.loop);
}

/* Others wait for the same, and come in this turn. */
static void all_sent(void *cookie)
{
    struct mount *m = cookie;
    loop_soon(m->fs.loop, stop, m);
}

/* What is not stored is lost, and the log names it. All that waits ends, and then the loop. */
static void end_now(struct mount *m)
{
    m->status = 1;
    kernel_end(&m->fs);
    client_give_up(m->client, ECP_EUNREACHABLE);
    loop_cancel(m->fs.loop, m->deadline);
    m->deadline = loop_timer(m->fs.loop, GIVE_UP_TIME, given_up, m);
}

static void too_late(void *cookie)
{
    struct mount *m = cookie;

    m->deadline = NULL;
    log_error("what was written could not be sent to %s in time", m->url.text);
    end_now(m);
}

static void unmounted(void *cookie)
{
    struct mount *m = cookie;

    if (!m->deadline)
        m->deadline = loop_timer(m->fs.loop, END_TIME, too_late, m);
    content_flush_all(&m->fs, all_sent, m);
}

/* SIGTERM: what is pending goes first, then the mount; busy files keep it until they are closed. */
static void flushed_for_end(void *cookie)
{
    struct mount *m = cookie;

    device_stop(m->device);
    m->device = NULL;
    kernel_end(&m->fs);
    fuse_session_unmount(m->fs.session);
    m->mounted = false;
    unmounted(m);
}

static void on_signal(evutil_socket_t sig, short what, void *cookie)
{
    struct mount *m = cookie;

    (void)what;
    if (sig == SIGHUP)
        return;
    if (m->ending) {
        end_now(m);
        return;
    }
    if (!m->mounted) {
        m->status = 1;
        event_loop_stop(m->fs.loop);
        return;
    }
    m->ending = true;
    m->deadline = loop_timer(m->fs.loop, END_TIME, too_late, m);
    content_flush_all(&m->fs, flushed_for_end, m);
}

/* ---- the start ---- */

/*
 * For each step of a path the kernel would compare the modes, and for that ask for the attributes
 * of all directories that a change made invalid. The owner alone, who may do everything, needs no
 * comparison.
 */
static bool is_private(const struct options *o)
{
    return !o->allow_other && o->uid == getuid() && (o->umask & 0700) == 0;
}

static char *mount_now(struct mount *m)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char *source = xasprintf("fsname=%s", m->url.text), *opts = NULL;
    char *why = NULL;

    fuse_opt_add_opt_escaped(&opts, source); /* a socket's path may have commas */
    fuse_opt_add_opt(&opts, "subtype=ecpfs");
    if (!is_private(&m->o))
        fuse_opt_add_opt(&opts, "default_permissions");
    if (m->o.allow_other)
        fuse_opt_add_opt(&opts, "allow_other");
    if (m->o.read_only)
        fuse_opt_add_opt(&opts, "ro");
    if (m->o.no_exec)
        fuse_opt_add_opt(&opts, "noexec");
    fuse_opt_add_arg(&args, "ecpfs");
    fuse_opt_add_arg(&args, "-o");
    fuse_opt_add_arg(&args, opts);
    free(opts);
    free(source);
    m->fs.session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), &m->fs);
    if (!m->fs.session)
        why = xasprintf("cannot start a FUSE session (is /dev/fuse there? try: modprobe fuse)");
    else if (fuse_session_mount(m->fs.session, m->where) != 0)
        why = xasprintf("cannot mount on %s (the line above says why; %s)", m->where,
                        m->o.allow_other
                            ? "allow_other needs user_allow_other in /etc/fuse.conf"
                            : "is it yours, empty of mounts, and /dev/fuse open to you?");
    fuse_opt_free_args(&args);
    return why;
}

static void requested(void *cookie)
{
    struct mount *m = cookie;
    event_loop_works(m->fs.loop);
}

static void ready(struct mount *m)
{
    char *why = mount_now(m);

    if (why) {
        fail(m, why);
        return;
    }
    m->mounted = true;
    m->fs.started = loop_wall(m->fs.loop);
    m->device = device_start(&m->fs, event_loop_base(m->fs.loop), requested, unmounted, m);
    log_info("%s mounted on %s", m->url.text, m->where);
    if (m->report >= 0)
        daemonize_ready(m->report);
    m->report = -1;
}

static void first_answer(void *cookie, int error, const struct space *space)
{
    struct mount *m = cookie;

    if (error) {
        fail(m, xasprintf("%s: %s", m->url.text, error_text(error)));
    } else {
        m->fs.space = *space;
        ready(m);
    }
}

/* Notes why the server is away; whether that is something new. */
static bool told(struct mount *m, const char *why)
{
    bool is_new = !m->why || !why || strcmp(m->why, why) != 0;

    if (is_new) {
        free(m->why);
        m->why = why ? xstrdup(why) : NULL;
    }
    return is_new;
}

static void say_away(struct mount *m, const char *why)
{
    bool first = !m->why;

    if (!told(m, why))
        return;
    if (first && m->o.soft)
        log_warning("%s: connection lost: %s; what needs the server fails after %u s", m->url.text,
                    why, m->o.timeo);
    else if (first)
        log_warning("%s: connection lost: %s; what needs the server waits until it is back",
                    m->url.text, why);
    else
        log_warning("%s: %s", m->url.text, why);
}

static void state_changed(void *cookie, enum client_state state, int error, const char *why)
{
    struct mount *m = cookie;

    soft_connected(&m->fs, state == CLIENT_NORMAL);
    if (m->mounted && state == CLIENT_NORMAL) {
        log_notice("connected to %s again", m->url.text);
        told(m, NULL);
    } else if (why && m->mounted) {
        say_away(m, why);
    } else if (why && (state == CLIENT_LOST || error)) {
        fail(m, xasprintf("%s: %s%s", m->url.text, why,
                          error == ECP_EUNREACHABLE || error == ECP_ETIMEOUT
                              ? "; is ecpd running there?"
                              : ""));
    }
}

static void invalidate(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct mount *m = cookie;
    upstream_net_invalidate(m->fs.up, serial, touches, count);
}

static void lock_said(void *cookie, bool lost, uint64_t owner, struct slice name)
{
    struct mount *m = cookie;
    locks_said(m->fs.locks, lost, owner, name);
}

static void reclaim(void *cookie)
{
    struct mount *m = cookie;

    if (m->fs.locks)
        locks_reclaim(m->fs.locks);
}

static void lease_lost(void *cookie)
{
    struct mount *m = cookie;
    upstream_net_lease_lost(m->fs.up);
}

static void session_lost(void *cookie)
{
    struct mount *m = cookie;

    log_notice("%s: the session has ended; another begins", m->url.text);
    if (m->fs.locks)
        locks_disconnected(m->fs.locks);
}

static char *check_mountpoint(struct mount *m)
{
    struct stat st, up;
    char *parent;

    if (stat(m->o.mountpoint, &st) != 0) {
        if (errno == ENOTCONN)
            return xasprintf(
                "%s is the mountpoint of a dead mount: fusermount3 -uz %s, then try again",
                m->o.mountpoint, m->o.mountpoint);
        return xasprintf("mountpoint %s: %s", m->o.mountpoint, strerror(errno));
    }
    if (!S_ISDIR(st.st_mode))
        return xasprintf("mountpoint %s: not a directory", m->o.mountpoint);
    m->where = realpath(m->o.mountpoint, NULL);
    if (!m->where)
        return xasprintf("mountpoint %s: %s", m->o.mountpoint, strerror(errno));
    parent = xasprintf("%s/..", m->where);
    if (stat(parent, &up) == 0 && up.st_dev != st.st_dev && strcmp(m->where, "/") != 0) {
        free(parent);
        return xasprintf("mountpoint %s: busy: something is mounted there already",
                         m->o.mountpoint);
    }
    free(parent);
    return NULL;
}

static void watch_signals(struct mount *m)
{
    static const int sigs[] = {SIGTERM, SIGINT, SIGHUP};

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        m->signals[i] = evsignal_new(event_loop_base(m->fs.loop), sigs[i], on_signal, m);
        event_add(m->signals[i], NULL);
    }
}

static void cache_lines(void *cookie, struct buf *out)
{
    struct mount *m = cookie;
    cache_stats(m->fs.cache, out);
}

static void poll_lines(void *cookie, struct buf *out)
{
    struct mount *m = cookie;
    uint64_t looks, finds;

    event_loop_polls(m->fs.loop, &looks, &finds);
    buf_printf(out, "busy_polls %" PRIu64 "\nbusy_polls_found %" PRIu64 "\n", looks, finds);
}

static int serve(struct mount *m)
{
    struct client_config config = {.address = m->url.address,
                                   .namespace = m->url.namespace,
                                   .program = "ecpfs " PACKAGE_VERSION,
                                   .reconnect = true,
                                   .recovery = m->o.recovery * LOOP_SEC,
                                   .invalidate = invalidate,
                                   .lease_lost = lease_lost,
                                   .session_lost = session_lost,
                                   .lock = lock_said,
                                   .reclaim = reclaim,
                                   .state = state_changed,
                                   .cookie = m};
    struct cache_config cache = {.bytes = m->o.cache_size};

    log_open("ecpfs", !m->o.foreground, m->o.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_NOTICE);
    m->fs.loop = event_loop_new();
    event_loop_poll(m->fs.loop, m->o.busy_poll * UINT64_C(1000));
    m->network = event_network_new(m->fs.loop);
    m->fs.uid = m->o.uid;
    m->fs.gid = m->o.gid;
    m->fs.umask = m->o.umask;
    m->fs.text = m->o.text;
    m->fs.quiet = m->o.quiet;
    m->fs.negative_timeout = m->o.negative_timeout;
    m->fs.timeo = m->o.soft ? m->o.timeo * LOOP_SEC : 0;
    inode_table_init(&m->fs);
    control_init(&m->fs);
    control_add(&m->fs, CONTROL_STATS, cache_lines, m);
    control_add(&m->fs, CONTROL_STATS, poll_lines, m);
    control_add(&m->fs, CONTROL_STATUS, status_lines, &m->shown);
    watch_signals(m);
    m->client = client_new(m->fs.loop, m->network, &config);
    m->shown = (struct status){&m->fs, m->client, m->url.text};
    m->fs.up = upstream_net_new(m->client);
    m->fs.cache = cache_new(m->fs.loop, m->fs.up, &cache, &kernel_events, &m->fs);
    m->fs.locks = locks_new(&m->fs, m->client);
    call_space(m->client, first_answer, m);
    event_loop_run(m->fs.loop);
    if (m->device)
        device_stop(m->device);
    if (m->fs.session) {
        kernel_end(&m->fs);
        if (m->mounted)
            fuse_session_unmount(m->fs.session);
        fuse_session_destroy(m->fs.session);
    }
    loop_cancel(m->fs.loop, m->deadline);
    loop_cancel(m->fs.loop, m->fs.soft_timer);
    loop_cancel(m->fs.loop, m->fs.callers_timer);
    loop_cancel(m->fs.loop, m->fs.due_timer);
    cache_free(m->fs.cache);
    client_free(m->client); /* its BYE ends the leases: nothing serves what was leased any more */
    event_loop_finish(m->fs.loop, 2 * LOOP_SEC);
    upstream_net_free(m->fs.up);
    locks_free(m->fs.locks);
    kernel_free(&m->fs);
    control_free(&m->fs);
    inode_table_free(&m->fs);
    for (int i = 0; i < 3; i++)
        event_free(m->signals[i]);
    event_network_free(m->network);
    free(m->why);
    event_loop_free(m->fs.loop);
    return m->status;
}

int main(int argc, char **argv)
{
    struct mount m = {.report = -1};
    int status = options_parse(&m.o, argc, argv);
    char *why = NULL;

    if (status >= 0)
        return status;
    if (url_parse(m.o.url, &m.url, &why) != 0) {
        fprintf(stderr, "ecpfs: %s\n", why);
        status = 2;
    } else if ((why = check_mountpoint(&m))) {
        fprintf(stderr, "ecpfs: %s\n", why);
        status = 1;
    } else {
        if (!m.o.foreground)
            m.report = daemonize("ecpfs");
        status = serve(&m);
    }
    free(why);
    url_free(&m.url);
    free(m.where);
    return status;
}
