/* SPDX-License-Identifier: Apache-2.0 */
/* Backing a database's directory up, into a new directory or to standard output. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/backup.h"
#include "store/backup.h"

/* ---- Progress ---- */

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * LOOP_SEC + (uint64_t)t.tv_nsec;
}

void backup_progress(struct backup_progress *p, uint64_t nodes, uint64_t expected, uint64_t bytes)
{
    if (p->quiet || !isatty(STDERR_FILENO) || now() < p->next)
        return;
    p->next = now() + LOOP_SEC / 4;
    p->shown = true;
    fprintf(stderr, "\r%" PRIu64 " of about %" PRIu64 " nodes, %" PRIu64 " MiB ", nodes, expected,
            bytes >> 20);
}

void backup_progress_end(struct backup_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

/* ---- Where it goes ---- */

struct target_dir {
    const char *path; /* NULL: standard output */
    char *unfinished, *file;
    bool made;
    int fd;
    int number; /* errno of a failed write */
};

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    bool empty = dir;
    for (struct dirent *d; empty && (d = readdir(dir));)
        empty = !strcmp(d->d_name, ".") || !strcmp(d->d_name, "..");
    if (dir)
        closedir(dir);
    return empty;
}

static int open_target(struct cli *cli, struct target_dir *t)
{
    if (!t->path) {
        t->fd = STDOUT_FILENO;
        return isatty(t->fd) ? cli_usage(cli, "a backup is not written to a terminal") : EXIT_OK;
    }
    t->made = mkdir(t->path, 0700) == 0;
    if (!t->made && errno != EEXIST)
        return cli_failed(cli, "%s: cannot make it: %s", t->path, strerror(errno));
    if (!t->made && !is_empty(t->path))
        return cli_failed(cli, "%s: not an empty directory: a backup needs one of its own",
                          t->path);
    t->unfinished = xasprintf("%s/" BACKUP_UNFINISHED, t->path);
    t->file = xasprintf("%s/" BACKUP_FILE, t->path);
    t->fd = open(t->unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (t->fd < 0)
        return cli_failed(cli, "%s: cannot make it: %s", t->unfinished, strerror(errno));
    cli_unfinished(t->unfinished, t->made ? t->path : NULL);
    return EXIT_OK;
}

int backup_sync_directory(const char *path)
{
    struct io *io = io_posix();
    char *parent = xasprintf("%s/..", path);
    int error = io->ops->sync_directory(io, path);
    if (error == 0)
        error = io->ops->sync_directory(io, parent);
    free(parent);
    return error;
}

/* It gets its name when it is whole, and on the disk. */
static int finish_target(struct cli *cli, struct target_dir *t)
{
    if (!t->path)
        return EXIT_OK;
    if (fsync(t->fd) || rename(t->unfinished, t->file))
        return cli_failed(cli, "%s: %s", t->unfinished, strerror(errno));
    return backup_sync_directory(t->path) ? cli_failed(cli, "%s: cannot be synced", t->path)
                                          : EXIT_OK;
}

static void close_target(struct target_dir *t, bool whole)
{
    if (t->path && t->fd >= 0) {
        close(t->fd);
        if (!whole)
            unlink(t->unfinished);
        cli_unfinished(NULL, NULL);
    }
    if (t->made && !whole)
        rmdir(t->path);
    free(t->unfinished);
    free(t->file);
}

/* ---- backup ---- */

struct backup_run {
    struct target_dir target;
    struct backup_progress progress;
};

static int write_some(void *cookie, struct slice bytes)
{
    struct backup_run *run = cookie;
    run->target.number = cli_write(run->target.fd, bytes);
    return run->target.number ? ECP_EIO : 0;
}

static void progress(void *cookie, const struct store_backup *b)
{
    struct backup_run *run = cookie;
    backup_progress(&run->progress, b->end.nodes, b->begin.expected, b->bytes);
}

static int tell(struct cli *cli, const struct store_backup *b, const struct backup_run *run)
{
    char when[64];
    if (!run->progress.quiet)
        fprintf(stderr,
                "up to %s (stamp %" PRIu64 "): %" PRIu64 " nodes, %" PRIu64
                " journal records, %" PRIu64 " bytes\n",
                when_text(b->end.stamp, when, sizeof(when)), b->end.stamp, b->end.nodes,
                b->end.records, b->bytes);
    return EXIT_OK;
}

static int backup(struct cli *cli, const char *directory, struct backup_run *run)
{
    struct store_backup b = {.io = io_posix(),
                             .directory = directory,
                             .write = write_some,
                             .progress = progress,
                             .cookie = run};
    char *why = NULL;
    int code;
    if (!(b.engine = store_open_reader(cli, directory, EXIT_FAILED, &code)))
        return code;
    int error = store_backup(&b, &why);
    b.engine->ops->close(b.engine);
    backup_progress_end(&run->progress);
    if (run->target.number)
        code = cli_failed(cli, "%s: cannot write the backup: %s",
                          run->target.path ? run->target.path : "stdout",
                          strerror(run->target.number));
    else if (error)
        code = cli_failed(cli, "%s%s%s", why ? "" : directory, why ? "" : ": ",
                          why ? why : error_text(error));
    else if ((code = finish_target(cli, &run->target)) == EXIT_OK)
        code = tell(cli, &b, run);
    free(why);
    return code;
}

int cmd_backup(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"quiet", no_argument, NULL, 'q'}, {0}};
    struct backup_run run = {.target.fd = -1};
    int option;
    while ((option = getopt_long(argc, argv, "q", options, NULL)) != -1) {
        if (option != 'q')
            return EXIT_USAGE;
        run.progress.quiet = true;
    }
    if (argc - optind != 2)
        return cli_usage(cli, "a database's directory, and a new directory or - are needed");
    if (strcmp(argv[optind + 1], "-") != 0)
        run.target.path = argv[optind + 1];
    int code = open_target(cli, &run.target);
    if (code == EXIT_OK)
        code = backup(cli, argv[optind], &run);
    close_target(&run.target, code == EXIT_OK);
    return code;
}
