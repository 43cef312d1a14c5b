/* SPDX-License-Identifier: Apache-2.0 */
/* ecpd, the data server: options, becoming a daemon, signals. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/log.h"
#include "net/event.h"
#include "server/config_file.h"
#include "server/host.h"
#include "server/notify.h"
#include "store/io.h"

#define EXIT_USAGE     2
#define DEFAULT_LISTEN "127.0.0.1:5972"

struct options {
    char *data, *config, *pid_file; /* absolute */
    struct config given;            /* listen addresses of the command line */
    uint64_t size;
    int log_level; /* -1: not given */
    bool foreground;
};

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

/* ---- Options ---- */

static const char usage_text[] =
    "usage: ecpd --data DIR [options]\n"
    "Serves databases to ecpfs and ecp.\n"
    "\n"
    "  -d, --data DIR          directory of the data; made when missing\n"
    "  -l, --listen ADDRESS    HOST:PORT, [IPV6]:PORT or unix:PATH; may be repeated\n"
    "                          (default " DEFAULT_LISTEN ")\n"
    "  -c, --config FILE       configuration file, see ecpd(8)\n"
    "  -f, --foreground        do not become a daemon; log to stderr\n"
    "  -s, --size SIZE         most bytes of the default database, like 64G\n"
    "  -L, --log-level LEVEL   error, warning, notice, info or debug\n"
    "  -p, --pid-file FILE     file to write the process id to\n"
    "  -h, --help              this text\n"
    "  -V, --version           the version\n";

static const struct option long_options[] = {
    {"data", required_argument, NULL, 'd'},     {"listen", required_argument, NULL, 'l'},
    {"config", required_argument, NULL, 'c'},   {"foreground", no_argument, NULL, 'f'},
    {"size", required_argument, NULL, 's'},     {"log-level", required_argument, NULL, 'L'},
    {"pid-file", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},        {NULL, 0, NULL, 0},
};

_Noreturn static void usage_error(const char *format, const char *argument)
{
    fputs("ecpd: ", stderr);
    fprintf(stderr, format, argument);
    fputs("\nTry \"ecpd --help\".\n", stderr);
    exit(EXIT_USAGE);
}

/* The daemon leaves the working directory, so names are made absolute before. */
static char *absolute_path(const char *path)
{
    char cwd[PATH_MAX];

    if (path[0] == '/' || !getcwd(cwd, sizeof(cwd)))
        return xstrdup(path);
    return xasprintf("%s/%s", cwd, path);
}

static void add_listen(struct options *o, const char *address)
{
    char *path, *whole;

    if (strncmp(address, "unix:", 5) != 0) {
        config_add_listen(&o->given, address);
        return;
    }
    path = absolute_path(address + 5);
    whole = xasprintf("unix:%s", path);
    config_add_listen(&o->given, whole);
    free(whole);
    free(path);
}

static void take_option(struct options *o, int letter, const char *argument)
{
    switch (letter) {
    case 'd':
        o->data = absolute_path(argument);
        break;
    case 'l':
        add_listen(o, argument);
        break;
    case 'c':
        o->config = absolute_path(argument);
        break;
    case 'f':
        o->foreground = true;
        break;
    case 's':
        if (config_parse_size(argument, &o->size) < 0)
            usage_error("\"%s\" is no size (like 512M or 64G, at least 1M)", argument);
        break;
    case 'L':
        o->log_level = log_level_parse(argument);
        if (o->log_level < 0)
            usage_error("log levels are error, warning, notice, info, debug; not \"%s\"", argument);
        break;
    case 'p':
        o->pid_file = absolute_path(argument);
        break;
    case 'h':
        fputs(usage_text, stdout);
        exit(EXIT_SUCCESS);
    case 'V':
        puts("ecpd " PACKAGE_VERSION);
        exit(EXIT_SUCCESS);
    default:
        fputs("Try \"ecpd --help\".\n", stderr);
        exit(EXIT_USAGE);
    }
}

static void parse_options(struct options *o, int argc, char **argv)
{
    int letter;

    *o = (struct options){.size = CONFIG_SIZE_DEFAULT, .log_level = -1};
    while ((letter = getopt_long(argc, argv, "d:l:c:fs:L:p:hV", long_options, NULL)) != -1)
        take_option(o, letter, optarg);
    if (optind < argc)
        usage_error("unexpected argument \"%s\"", argv[optind]);
    if (!o->data && !o->config)
        usage_error("--data %s is needed: where the data is kept", "DIR");
}

/* What file and command line ask for together. 0, or an error and *why. */
static int effective_config(const struct options *o, struct config *config, char **why)
{
    int error;

    *config = (struct config){.log_level = LOG_LEVEL_NOTICE};
    if (o->config) {
        error = config_read(o->config, config, why);
        if (error)
            return error;
    }
    for (size_t i = 0; i < o->given.listen_count; i++)
        config_add_listen(config, o->given.listen[i]);
    if (config->listen_count == 0)
        config_add_listen(config, DEFAULT_LISTEN);
    if (o->log_level >= 0)
        config->log_level = o->log_level;
    if (config->namespace_count == 0) {
        if (!o->data) {
            *why = xasprintf("%s names no namespace, and there is no --data DIR for USER", o->config);
            return ECP_EINVAL;
        }
        if (!config_find_database(config, "USER"))
            config_add_database(config, "USER", o->data, o->size);
        config_add_namespace(config, "USER", "USER");
    }
    return 0;
}

/* ---- Start ---- */

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
    if (effective_config(d->options, &config, &why) != 0 || host_apply(d->host, &config, &why) != 0)
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
    int error = effective_config(o, &config, why);

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

/* ---- Becoming a daemon ---- */

/* The parent: waits for the child's "K", or prints what it says instead. */
_Noreturn static void await_child(int fd)
{
    struct buf text = {0};
    ssize_t n;

    for (;;) {
        buf_reserve(&text, 1024);
        n = read(fd, text.data + text.len, 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        text.len += (size_t)n;
    }
    if (text.len == 1 && text.data[0] == 'K')
        _exit(EXIT_SUCCESS);
    if (text.len)
        fprintf(stderr, "ecpd: %.*s\n", (int)text.len, (const char *)text.data);
    else
        fputs("ecpd: the daemon died while starting; the system log may say why\n", stderr);
    fflush(stderr);
    _exit(EXIT_FAILURE);
}

/* Returns in the child, with the descriptor that the parent waits on. */
static int daemonize(void)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        fprintf(stderr, "ecpd: cannot become a daemon: %s\n", strerror(errno));
        exit(EXIT_FAILURE);
    }
    if (pid > 0) {
        close(fds[1]);
        await_child(fds[0]);
    }
    close(fds[0]);
    setsid();
    if (chdir("/") < 0)
        log_warning("cannot leave the working directory: %s", strerror(errno));
    return fds[1];
}

static void detach(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null >= 0)
        for (int i = 0; i <= 2; i++)
            dup2(null, i);
    if (write(fd, "K", 1) != 1)
        log_warning("the starting process went away");
    close(fd);
}

static int fail(int fd, char *why, int error)
{
    const char *text = why ? why : error_text(error);

    if (fd < 0)
        fprintf(stderr, "ecpd: %s\n", text);
    else if (write(fd, text, strlen(text)) < 0)
        log_error("%s", text);
    free(why);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static struct options options;
    struct daemon *d = &daemon_state;
    char *why = NULL;
    int error, fd = -1;

    parse_options(&options, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    d->options = &options;
    if (!options.foreground)
        fd = daemonize();
    error = start(d, &why);
    if (error)
        return fail(fd, why, error);
    if (fd >= 0)
        detach(fd);
    notify_ready();
    event_loop_run(d->loop);
    host_free(d->host);
    if (options.pid_file)
        unlink(options.pid_file);
    log_notice("stopped");
    return EXIT_SUCCESS;
}
