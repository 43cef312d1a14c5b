/* SPDX-License-Identifier: Apache-2.0 */
/* Making a database's directory of a backup, as of its own time or of a later one. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/backup.h"
#include "store/engine_lmdb.h"
#include "store/journal_read.h"
#include "store/restore.h"

#define MAP_SIZE (UINT64_C(1) << 40) /* address space for any database */

struct restore_run {
    struct store_restore r;
    struct backup_progress progress;
    bool verify;
    const char *backup, *directory;
    int fd;
    int number; /* errno of a failed read */
};

/* ---- The backup ---- */

static int read_some(void *cookie, void *to, size_t len, size_t *got)
{
    struct restore_run *run = cookie;
    for (*got = 0; *got < len;) {
        ssize_t n = read(run->fd, (uint8_t *)to + *got, len - *got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            run->number = errno;
            return ECP_EIO;
        }
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

static void progress(void *cookie, const struct store_restore *r)
{
    struct restore_run *run = cookie;
    backup_progress(&run->progress, r->nodes, r->begin.expected, r->bytes);
}

static int open_backup(struct cli *cli, struct restore_run *run)
{
    struct stat st;
    if (!strcmp(run->backup, "-")) {
        run->fd = STDIN_FILENO;
        return EXIT_OK;
    }
    bool directory = stat(run->backup, &st) == 0 && S_ISDIR(st.st_mode);
    char *path = directory ? xasprintf("%s/" BACKUP_FILE, run->backup) : xstrdup(run->backup);
    char *unfinished = xasprintf("%s/" BACKUP_UNFINISHED, run->backup);
    int code = EXIT_OK;
    run->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (run->fd < 0 && directory && access(unfinished, F_OK) == 0)
        code = cli_failed(cli, "%s: the backup was not finished; it cannot be used", run->backup);
    else if (run->fd < 0)
        code = cli_failed(cli, "%s: %s", path, strerror(errno));
    free(unfinished);
    free(path);
    return code;
}

/* ---- The database ---- */

static int failed(struct cli *cli, const char *why, const char *what, int error)
{
    return cli_failed(cli, "%s%s%s", why ? "" : what, why ? "" : ": ",
                      why ? why : error_text(error));
}

static bool has_database(const char *directory)
{
    char *data = xasprintf("%s/data.mdb", directory);
    uint64_t *list = NULL;
    size_t count = 0;
    journal_segments(io_posix(), directory, &list, &count);
    bool has = count || access(data, F_OK) == 0;
    free(list);
    free(data);
    return has;
}

static void remove_files(const char *directory)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *path = xasprintf("%s/%s", directory, names[i]);
        unlink(path);
        free(path);
    }
}

static int run_restore(struct cli *cli, struct restore_run *run)
{
    char *why = NULL;
    int error = store_restore(&run->r, &why);
    backup_progress_end(&run->progress);
    int code = EXIT_OK;
    if (run->number)
        code = cli_failed(cli, "%s: %s", run->backup, strerror(run->number));
    else if (error == ECP_ENOSPC)
        code = cli_failed(cli, "%s: no space left on its disk", run->directory);
    else if (error && (why || !run->directory))
        code = cli_failed(cli, "%s: %s", run->backup, why ? why : error_text(error));
    else if (error)
        code = cli_failed(cli, "%s: %s", run->directory, error_text(error));
    free(why);
    return code;
}

static int fill(struct cli *cli, struct restore_run *run)
{
    char *why = NULL;
    if (has_database(run->directory))
        return cli_failed(cli,
                          "%s: there is a database, or the rest of one: a new directory is "
                          "needed",
                          run->directory);
    int error = engine_lmdb_open(run->directory, MAP_SIZE, &run->r.engine, &why);
    int code = error ? failed(cli, why, run->directory, error) : run_restore(cli, run);
    free(why);
    if (run->r.engine)
        run->r.engine->ops->close(run->r.engine);
    if (code == EXIT_OK && backup_sync_directory(run->directory))
        code = cli_failed(cli, "%s: cannot be synced", run->directory);
    if (code)
        remove_files(run->directory);
    return code;
}

/* A server that comes meanwhile is kept out; what it would find is marked as not yet a database. */
static int make(struct cli *cli, struct restore_run *run)
{
    struct io *io = io_posix();
    struct io_lock *lock;
    char *why = NULL, *path = xasprintf("%s/ecpd.lock", run->directory);
    char *owner = xasprintf("ecp restore pid %ld", (long)getpid());
    int code, error = io->ops->make_directory(io, run->directory, &why);
    if (error == 0)
        error = io->ops->lock(io, path, owner, &lock, &why);
    if (error) {
        code = failed(cli, why, run->directory, error);
    } else {
        code = fill(cli, run);
        io->ops->unlock(io, lock);
    }
    free(why);
    free(owner);
    free(path);
    return code;
}

/* ---- restore ---- */

static void tell(const struct restore_run *run)
{
    const struct store_restore *r = &run->r;
    char when[64];
    if (run->progress.quiet)
        return;
    fprintf(stderr,
            "%s up to %s (stamp %" PRIu64 "): %" PRIu64 " nodes, %" PRIu64 " + %" PRIu64
            " journal records\n",
            run->verify ? "good, and" : "restored", when_text(r->stamp, when, sizeof(when)),
            r->stamp, r->end.nodes, r->end.records, r->replayed);
    if (r->journal && r->until != UINT64_MAX && !r->passed)
        fprintf(stderr, "the journal has nothing later than that\n");
}

static int take_options(struct cli *cli, int argc, char **argv, struct restore_run *run)
{
    static const struct option options[] = {{"quiet", no_argument, NULL, 'q'},
                                            {"journal", required_argument, NULL, 'j'},
                                            {"until", required_argument, NULL, 'u'},
                                            {"verify", no_argument, NULL, 'v'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "qj:u:", options, NULL)) != -1) {
        if (option == 'q')
            run->progress.quiet = true;
        else if (option == 'j')
            run->r.journal = optarg;
        else if (option == 'v')
            run->verify = true;
        else if (option != 'u' || !when_parse(cli, optarg, &run->r.until))
            return EXIT_USAGE;
    }
    if (run->r.until != UINT64_MAX && !run->r.journal)
        return cli_usage(cli, "--until needs --journal, the directory whose journal leads there");
    if (argc - optind != (run->verify ? 1 : 2))
        return cli_usage(cli, run->verify ? "with --verify, only a backup is needed"
                                          : "a backup, and a new directory are needed");
    run->backup = argv[optind];
    run->directory = run->verify ? NULL : argv[optind + 1];
    return EXIT_OK;
}

int cmd_restore(struct cli *cli, int argc, char **argv)
{
    struct restore_run run = {
        .fd = -1,
        .r = {.read = read_some, .progress = progress, .io = io_posix(), .until = UINT64_MAX}};
    run.r.cookie = &run;
    int code = take_options(cli, argc, argv, &run);
    if (code)
        return code;
    if (run.r.journal && (code = store_find_directory(cli, run.r.journal)))
        return code;
    if (getrandom(&run.r.id, sizeof(run.r.id), 0) != sizeof(run.r.id))
        return cli_failed(cli, "no random number: %s", strerror(errno));
    run.r.id |= 1;
    code = open_backup(cli, &run);
    if (code == EXIT_OK)
        code = run.verify ? run_restore(cli, &run) : make(cli, &run);
    if (code == EXIT_OK)
        tell(&run);
    if (run.fd > STDIN_FILENO)
        close(run.fd);
    return code;
}
