/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about the server: ping, stats. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

static void wake(void *cookie)
{
    session_wake(cookie);
}

static void pause_between(struct cli *cli)
{
    loop_timer(cli->loop, 200 * LOOP_MS, wake, cli);
    session_wait(cli);
}

int cmd_ping(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'c'}, {0}};
    uint64_t count = 3, total = 0, least = UINT64_MAX, most = 0;
    int option, code, error;
    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1)
        if (option == '?' || !cli_number(cli, "-c", optarg, 1, 1000000000, &count))
            return EXIT_USAGE;
    if (argc > optind)
        return cli_usage(cli, "too many arguments: %s", argv[optind]);
    if ((code = session_open(cli)))
        return code;
    /* The first one connects; it is not measured. */
    if ((error = session_ping(cli)))
        return session_error(cli, slice_of(NULL, 0), error, NULL);
    printf("%s: %s\n", cli->where.text, client_server(cli->client));
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t begin = loop_now(cli->loop);
        if ((error = session_ping(cli)))
            return session_error(cli, slice_of(NULL, 0), error, NULL);
        uint64_t took = loop_now(cli->loop) - begin;
        total += took;
        least = took < least ? took : least;
        most = took > most ? took : most;
        printf("%llu: %.3f ms\n", (unsigned long long)i, (double)took / 1e6);
        fflush(stdout);
        if (i < count)
            pause_between(cli);
    }
    printf("least/mean/most %.3f/%.3f/%.3f ms\n", (double)least / 1e6,
           (double)total / (double)count / 1e6, (double)most / 1e6);
    return EXIT_OK;
}

/* What the mount tells of itself. EXIT_OK, or an exit code after a message. */
static int mount_stats(struct cli *cli, const char *point, struct buf *text)
{
    char *path = xasprintf("%s/.ecp/stats", point);
    int fd = open(path, O_RDONLY | O_CLOEXEC), code = EXIT_OK;
    ssize_t n = -1;
    if (fd >= 0) {
        do {
            buf_reserve(text, 4096);
            n = read(fd, text->data + text->len, 4096);
            text->len += n > 0 ? (size_t)n : 0;
        } while (n > 0);
    }
    if (n < 0)
        code = cli_failed(cli, "%s: %s%s", path, strerror(errno),
                          errno == ENOENT ? " (is that where an ecpfs is mounted?)" : "");
    if (fd >= 0)
        close(fd);
    free(path);
    return code;
}

int cmd_stats(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{0}};
    struct buf text = {0};
    int code, error;
    if (getopt_long(argc, argv, "", options, NULL) != -1)
        return EXIT_USAGE;
    if (argc - optind > 1)
        return cli_usage(cli, "too many arguments: %s", argv[optind + 1]);
    if (argc > optind)
        code = mount_stats(cli, argv[optind], &text);
    else if (!(code = session_open(cli)) && (error = session_stats(cli, &text)))
        code = session_error(cli, slice_of(NULL, 0), error, NULL);
    if (!code && (error = cli_write(STDOUT_FILENO, buf_slice(&text))))
        code = cli_failed(cli, "standard output: %s", strerror(error));
    buf_free(&text);
    return code;
}

int cmd_sync(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{0}};
    int code, error;
    if (getopt_long(argc, argv, "", options, NULL) != -1)
        return EXIT_USAGE;
    if (argc > optind)
        return cli_usage(cli, "too many arguments: %s", argv[optind]);
    if ((code = session_open(cli)))
        return code;
    error = session_sync(cli);
    return error ? session_error(cli, slice_of(NULL, 0), error, NULL) : EXIT_OK;
}
