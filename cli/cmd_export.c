/* SPDX-License-Identifier: Apache-2.0 */
/* The export command: subtrees as a ZWR or GO file, put in place only when it is whole. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Where the export goes. */
struct output {
    const char *name; /* NULL: stdout */
    char *temporary;  /* owned; NULL: written directly */
    int fd;
};

static int output_open(struct cli *cli, struct output *out)
{
    struct stat st;
    out->fd = STDOUT_FILENO;
    if (!out->name || !strcmp(out->name, "-")) {
        out->name = NULL;
        return EXIT_OK;
    }
    if (!stat(out->name, &st) && !S_ISREG(st.st_mode)) {
        out->fd = open(out->name, O_WRONLY | O_CLOEXEC);
    } else {
        mode_t mask = umask(0);
        umask(mask);
        out->temporary = xasprintf("%s.XXXXXX", out->name);
        out->fd = mkostemp(out->temporary, O_CLOEXEC);
        if (out->fd >= 0)
            cli_unfinished(out->temporary, NULL);
        if (out->fd >= 0 && fchmod(out->fd, 0666 & ~mask))
            errno = 0; /* the file stays private: no reason to fail */
    }
    if (out->fd >= 0)
        return EXIT_OK;
    int code = cli_failed(cli, "%s: cannot create it: %s", out->name, strerror(errno));
    free(out->temporary);
    out->temporary = NULL;
    return code;
}

/* Puts the file in place when code is EXIT_OK; returns the code, or EXIT_FAILED when that fails. */
static int output_close(struct cli *cli, struct output *out, int code)
{
    if (out->name && out->fd >= 0) {
        bool bad = !code && out->temporary && fsync(out->fd);
        bad |= close(out->fd) != 0;
        if (!code && !bad && out->temporary)
            bad = rename(out->temporary, out->name) != 0;
        if (bad && !code)
            code = cli_failed(cli, "%s: cannot write it: %s", out->name, strerror(errno));
        if (code && out->temporary)
            unlink(out->temporary);
    }
    cli_unfinished(NULL, NULL);
    free(out->temporary);
    return code;
}

struct export_options {
    struct output out;
    struct dump_config dump;
    const char *label;
};

static int parse_options(struct cli *cli, int argc, char **argv, struct export_options *o)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"label", required_argument, NULL, 'l'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "o:f:l:", options, NULL)) != -1) {
        if (option == 'o')
            o->out.name = optarg;
        else if (option == 'l')
            o->label = optarg;
        else if (option == 'f' && !strcmp(optarg, "zwr"))
            o->dump.format = ZWR_FORMAT_ZWR;
        else if (option == 'f' && !strcmp(optarg, "go"))
            o->dump.format = ZWR_FORMAT_GO;
        else if (option == 'f')
            return cli_usage(cli, "--format is zwr or go, not \"%s\"", optarg);
        else
            return EXIT_USAGE;
    }
    if (strpbrk(o->label, "\r\n"))
        return cli_usage(cli, "--label must be one line");
    return EXIT_OK;
}

static int write_all(struct cli *cli, struct export_options *o)
{
    struct buf text = {0};
    zwr_print_header(&text, o->label, (int64_t)time(NULL), o->dump.format);
    int error = cli_write(o->out.fd, buf_slice(&text));
    buf_free(&text);
    if (!error) {
        int code = dump_run(cli, &o->dump);
        if (code)
            return code;
        if (o->dump.format == ZWR_FORMAT_GO)
            error = cli_write(o->out.fd, slice_str("\n"));
    }
    if (error)
        return cli_failed(cli, "%s: cannot write it: %s", o->out.name ? o->out.name : "stdout",
                          strerror(error));
    return EXIT_OK;
}

int cmd_export(struct cli *cli, int argc, char **argv)
{
    struct export_options o = {.label = "ecpfs EXPORT", .dump.format = ZWR_FORMAT_ZWR};
    int code = parse_options(cli, argc, argv, &o);
    if (code)
        return code;
    o.dump.count = argc > optind ? (size_t)(argc - optind) : 1;
    struct target *tops = xcalloc(o.dump.count, sizeof *tops);
    o.dump.tops = tops;
    for (int i = optind; i < argc && !code; i++)
        code = target_parse(cli, argv[i], false, &tops[i - optind]);
    if (!code)
        code = session_open(cli);
    if (!code && !(code = output_open(cli, &o.out))) {
        o.dump.fd = o.out.fd;
        code = output_close(cli, &o.out, write_all(cli, &o));
        if (!code && o.dump.refused)
            code = cli_failed(cli, "%llu values were left out: GO cannot carry them",
                              (unsigned long long)o.dump.refused);
    }
    free(tops);
    return code;
}
