/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about the server: ping. */
#include "cli/cli.h"

#include <getopt.h>

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
    if (argc - optind > 1)
        return cli_usage(cli, "too many arguments: %s", argv[optind + 1]);
    if (argc > optind && !cli_number(cli, "COUNT", argv[optind], 1, 1000000000, &count))
        return EXIT_USAGE;
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
