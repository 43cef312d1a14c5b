/* SPDX-License-Identifier: Apache-2.0 */
/* The import command: files of ZWR or GO text into the database, with progress and a summary. */
#include "cli/import.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_OPS 4000

static double seconds_since(struct import *im, uint64_t begin)
{
    uint64_t took = loop_now(im->sender.cli->loop) - begin;
    return took ? (double)took / 1e9 : 1e-9;
}

void import_progress(struct import *im)
{
    uint64_t now = loop_now(im->sender.cli->loop);
    if (im->quiet || now - im->shown < LOOP_SEC || !isatty(STDERR_FILENO))
        return;
    double seconds = seconds_since(im, im->begin);
    im->shown = now;
    fprintf(stderr, "\r%llu nodes, %.1f MB, %.0f nodes/s", (unsigned long long)im->sender.queued,
            (double)im->bytes / 1e6, (double)im->sender.sent_nodes / seconds);
    if (im->size)
        fprintf(stderr, ", %.0f %%", 100.0 * (double)im->bytes / (double)im->size);
    fputs("\033[K", stderr);
}

static int parse_options(struct cli *cli, int argc, char **argv, struct import *im, uint64_t *ops)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'},
        {"strict", no_argument, NULL, 'S'},
        {"quiet", no_argument, NULL, 'q'},
        {"batch", required_argument, NULL, 'b'},
        {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "f:qb:", options, NULL)) != -1) {
        if (option == 'f' && !strcmp(optarg, "zwr"))
            im->wanted = ZWR_FORMAT_ZWR;
        else if (option == 'f' && !strcmp(optarg, "go"))
            im->wanted = ZWR_FORMAT_GO;
        else if (option == 'f' && !strcmp(optarg, "auto"))
            im->wanted = ZWR_FORMAT_UNKNOWN;
        else if (option == 'f')
            return cli_usage(cli, "--format is zwr, go or auto, not \"%s\"", optarg);
        else if (option == 'S')
            im->strict = true;
        else if (option == 'q')
            im->quiet = true;
        else if (option != 'b' || !cli_number(cli, "--batch", optarg, 1, BATCH_MAX_OPS, ops))
            return EXIT_USAGE;
    }
    return EXIT_OK;
}

/* Sum of the sizes, or 0 when one is not known. */
static uint64_t total_size(char **names, int count)
{
    uint64_t total = 0;
    struct stat st;
    for (int i = 0; i < count; i++) {
        if (!strcmp(names[i], "-") ? fstat(STDIN_FILENO, &st) : stat(names[i], &st))
            return 0;
        if (!S_ISREG(st.st_mode))
            return 0;
        total += (uint64_t)st.st_size;
    }
    return total;
}

static int import_named(struct import *im, const char *name)
{
    if (!strcmp(name, "-"))
        return import_file(im, STDIN_FILENO, "stdin");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_failed(im->sender.cli, "%s: cannot open it: %s", name, strerror(errno));
    int code = import_file(im, fd, name);
    close(fd);
    return code;
}

static void summary(struct import *im)
{
    uint64_t nodes = im->sender.sent_nodes;
    if (im->quiet)
        return;
    fprintf(stderr, "%s%llu nodes imported, %llu bad records, %.0f nodes/s\n",
            isatty(STDERR_FILENO) ? "\r\033[K" : "", (unsigned long long)nodes,
            (unsigned long long)im->bad, (double)nodes / seconds_since(im, im->begin));
}

int cmd_import(struct cli *cli, int argc, char **argv)
{
    static char *only_stdin[] = {"-"};
    struct import im = {0};
    uint64_t ops = DEFAULT_OPS;
    int code = parse_options(cli, argc, argv, &im, &ops);
    if (code || (code = session_open(cli)))
        return code;
    char **names = argc > optind ? argv + optind : only_stdin;
    int count = argc > optind ? argc - optind : 1;
    import_sender_init(&im.sender, cli, (size_t)ops);
    im.begin = im.shown = loop_now(cli->loop);
    im.size = total_size(names, count);
    for (int i = 0; i < count && !code; i++)
        code = import_named(&im, names[i]);
    int error = import_finish(&im.sender);
    if (error) {
        session_error(cli, slice_of(NULL, 0), error, im.sender.error_text);
        code = EXIT_FAILED;
    }
    summary(&im);
    import_sender_free(&im.sender);
    return im.bad ? EXIT_FAILED : code;
}
