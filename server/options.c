/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of ecpd, and what it and the configuration file ask for together. */
#include "server/options.h"
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"

#define EXIT_USAGE     2
#define DEFAULT_LISTEN "127.0.0.1:5972"

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
    "  -t, --lease SECONDS     how long clients may cache without asking, 1 to 300; default 10\n"
    "  -r, --recovery SECONDS  how long locks stand when a connection is lost, 1 to 3600; default 60\n"
    "  -L, --log-level LEVEL   error, warning, notice, info or debug\n"
    "  -p, --pid-file FILE     file to write the process id to\n"
    "  -h, --help              this text\n"
    "  -V, --version           the version\n";

static const struct option long_options[] = {
    {"data", required_argument, NULL, 'd'},
    {"listen", required_argument, NULL, 'l'},
    {"config", required_argument, NULL, 'c'},
    {"foreground", no_argument, NULL, 'f'},
    {"size", required_argument, NULL, 's'},
    {"log-level", required_argument, NULL, 'L'},
    {"lease", required_argument, NULL, 't'},
    {"recovery", required_argument, NULL, 'r'},
    {"pid-file", required_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
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

/* The last one given counts. */
static void take_path(char **path, const char *argument)
{
    free(*path);
    *path = absolute_path(argument);
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

static unsigned seconds(const char *text, unsigned long max, const char *wrong)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || n < 1 || n > max)
        usage_error(wrong, text);
    return (unsigned)n;
}

static void take_option(struct options *o, int letter, const char *argument)
{
    switch (letter) {
    case 'd':
        take_path(&o->data, argument);
        break;
    case 'l':
        add_listen(o, argument);
        break;
    case 'c':
        take_path(&o->config, argument);
        break;
    case 'f':
        o->foreground = true;
        break;
    case 's':
        if (config_parse_size(argument, &o->size) < 0)
            usage_error("\"%s\" is no size (like 512M or 64G, at least 1M)", argument);
        break;
    case 't':
        o->lease = seconds(argument, CONFIG_LEASE_MAX,
                           "a lease is a number of seconds from 1 to 300, not \"%s\"");
        break;
    case 'r':
        o->recovery =
            seconds(argument, CONFIG_RECOVERY_MAX,
                    "the recovery window is a number of seconds from 1 to 3600, not \"%s\"");
        break;
    case 'L':
        o->log_level = log_level_parse(argument);
        if (o->log_level < 0)
            usage_error("log levels are error, warning, notice, info, debug; not \"%s\"", argument);
        break;
    case 'p':
        take_path(&o->pid_file, argument);
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

void options_parse(struct options *o, int argc, char **argv)
{
    int letter;

    *o = (struct options){.size = CONFIG_SIZE_DEFAULT, .log_level = -1};
    while ((letter = getopt_long(argc, argv, "d:l:c:fs:t:r:L:p:hV", long_options, NULL)) != -1)
        take_option(o, letter, optarg);
    if (optind < argc)
        usage_error("unexpected argument \"%s\"", argv[optind]);
    if (!o->data && !o->config)
        usage_error("--data %s is needed: where the data is kept", "DIR");
}

int options_config(const struct options *o, struct config *config, char **why)
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
    if (o->lease)
        config->lease = o->lease;
    if (o->recovery)
        config->recovery = o->recovery;
    if (config->namespace_count == 0) {
        if (!o->data) {
            *why =
                xasprintf("%s names no namespace, and there is no --data DIR for USER", o->config);
            return ECP_EINVAL;
        }
        if (!config_find_database(config, "USER"))
            config_add_database(config, "USER", o->data, o->size);
        config_add_namespace(config, "USER", "USER");
    }
    return 0;
}
