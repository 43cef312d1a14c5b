/* SPDX-License-Identifier: Apache-2.0 */
/* ecpd, the data server: start, signals, end. */
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/daemonize.h"
#include "base/log.h"
#include "net/event.h"
#include "server/host.h"
#include "server/notify.h"
#include "server/options.h"
#include "store/io.h"

struct daemon {
    struct options *options;
    struct loop *loop;
    struct network *network;
    struct io_lock *lock; /* of the data directory; given back by the process's end */
    struct host *host;
    struct event *signals[3];
    bool stopping;
};

/* Everything lives as long as the process. */
static struct daemon daemon_state;

static int lock_data(const struct options *o, struct io_lock **lock, char **why)
{
    struct io *io = io_posix();
    char real[PATH_MAX], *reason = NULL, *file, *owner;
    int error = io->ops->make_directory(io, o->data, why);

    if (error)
        return error;
    if (!realpath(o->data, real)) {
        *why = xasprintf("%s: %s", o->data, strerror(errno));
        return ECP_EIO;
    }
    file = xasprintf("%s/ecpd.lock", real);
    owner = xasprintf("ecpd pid %ld", (long)getpid());
    error = io->ops->lock(io, file, owner, lock, &reason);
    if (error == ECP_EBUSY)
        *why = xasprintf("the data directory %s is in use: %s. Stop that one first, or give "
                         "another --data",
                         real, reason ? reason : "another ecpd");
    else if (error)
        *why = reason ? xstrdup(reason) : xasprintf("%s: %s", file, error_text(error));
    free(reason);
    free(owner);
    free(file);
    return error;
}

static int write_pid_file(const struct options *o, char **why)
{
    FILE *file;

    if (!o->pid_file)
        return 0;
    file = fopen(o->pid_file, "we");
    if (!file || fprintf(file, "%ld\n", (long)getpid()) < 0 || fflush(file) != 0) {
        *why = xasprintf("%s: %s", o->pid_file, strerror(errno));
        if (file)
            fclose(file);
        return ECP_EIO;
    }
    fclose(file);
    return 0;
}

/* Each session has a descriptor, and the usual limit is what programs with select(2) can bear. */
static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warning("the limit of open files stays as it is: %m");
}

static void stopped(void *cookie)
{
    struct daemon *d = cookie;

    event_loop_stop(d->loop);
}

static void on_stop(evutil_socket_t signal_number, short what, void *cookie)
{
    struct daemon *d = cookie;

    if (d->stopping) {
        if (d->options->pid_file)
            unlink(d->options->pid_file);
        _exit(EXIT_FAILURE);
    }
    d->stopping = true;
    notify_stopping();
    log_notice("stopping on signal %d", (int)signal_number);
    host_stop(d->host, stopped, d);
}

static void on_reload(evutil_socket_t signal_number, short what, void *cookie)
{
    struct daemon *d = cookie;
    struct config config;
    char *why = NULL;

    if (d->stopping)
        return;
    notify_reloading();
    if (options_config(d->options, &config, &why) != 0 || host_apply(d->host, &config, &why) != 0)
        log_error("configuration not changed: %s", why ? why : "unknown reason");
    else
        log_notice("configuration reloaded");
    free(why);
    config_free(&config);
    notify_ready();
}

static void watch_signals(struct daemon *d)
{
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};

    for (int i = 0; i < 3; i++) {
        d->signals[i] = evsignal_new(event_loop_base(d->loop), numbers[i],
                                     numbers[i] == SIGHUP ? on_reload : on_stop, d);
        if (!d->signals[i] || evsignal_add(d->signals[i], NULL) != 0)
            log_fatal("cannot watch for signals");
    }
}

static int start(struct daemon *d, char **why)
{
    struct options *o = d->options;
    struct config config;
    char real[PATH_MAX];
    int error = options_config(o, &config, why);

    if (error)
        return error;
    log_open("ecpd", !o->foreground, (enum log_level)config.log_level);
    strcpy(real, "/"); /* without --data every database names its own directory */
    if (o->data) {
        error = lock_data(o, &d->lock, why);
        if (!error && !realpath(o->data, real))
            error = ECP_EIO;
    }
    if (!error) {
        d->loop = event_loop_new();
        d->network = event_network_new(d->loop);
        d->host = host_new(d->loop, d->network, real);
        watch_signals(d);
        error = host_apply(d->host, &config, why);
    }
    if (!error)
        error = write_pid_file(o, why);
    config_free(&config);
    return error;
}

int main(int argc, char **argv)
{
    static struct options options;
    struct daemon *d = &daemon_state;
    char *why = NULL;
    int error, fd = -1;

    options_parse(&options, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    d->options = &options;
    allow_descriptors();
    if (!options.foreground)
        fd = daemonize("ecpd");
    error = start(d, &why);
    if (error) {
        int status = daemonize_failed(fd, "ecpd", why ? why : error_text(error));
        free(why);
        return status;
    }
    if (fd >= 0)
        daemonize_ready(fd);
    notify_ready();
    event_loop_run(d->loop);
    host_free(d->host);
    if (options.pid_file)
        unlink(options.pid_file);
    log_notice("stopped");
    return EXIT_SUCCESS;
}
