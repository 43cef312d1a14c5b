/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a database's directory, with or without a server on it; opening it for reading. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "store/check.h"
#include "store/engine_lmdb.h"

/* ---- Opening ---- */

static char guard_text[PATH_MAX + 100];
static int guard_code;

/* LMDB reads its file as memory, and does not doubt what it finds there. */
static void guard_struck(int number)
{
    if (write(STDERR_FILENO, guard_text, strlen(guard_text)) < 0)
        _exit(EXIT_FAILED);
    _exit(guard_code);
}

static void guard(struct cli *cli, const char *data, int code)
{
    static const int signals[] = {SIGBUS, SIGSEGV, SIGABRT};
    snprintf(guard_text, sizeof(guard_text),
             "ecp: %s: %s: cut off, or damaged so that LMDB cannot read it\n", cli->command, data);
    guard_code = code;
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        signal(signals[i], guard_struck);
}

int store_find_directory(struct cli *cli, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return cli_failed(cli, "%s: %s", path, strerror(errno));
    close(fd);
    return EXIT_OK;
}

struct engine *store_open_reader(struct cli *cli, const char *directory, int damage, int *code)
{
    struct engine *engine = NULL;
    char *data = xasprintf("%s/data.mdb", directory), *why = NULL;
    struct stat st;
    if (stat(data, &st) == 0 && st.st_size == 0) {
        *code = cli_failed(cli, "%s: it is empty: nothing of a database is there", data);
    } else if (access(data, R_OK)) {
        *code = cli_failed(cli, "%s: %s%s", data, strerror(errno),
                           errno == ENOENT ? " (is that the directory of a database?)" : "");
    } else {
        guard(cli, data, damage);
        int error = engine_lmdb_open_reader(directory, &engine, &why);
        if (error) {
            *code = cli_failed(cli, "%s", why);
            if (error == ECP_ECORRUPT)
                *code = damage;
        }
    }
    free(why);
    free(data);
    return engine;
}

/* ---- check ---- */

static void print_problem(void *cookie, const char *text)
{
    printf("%s\n", text);
}

static int print_check(const struct store_check *c, bool served)
{
    char when[64];
    const struct journal_read *j = &c->journal;
    printf("%" PRIu64 " nodes, %" PRIu64 " of them marks of directories, %" PRIu64 " bytes",
           c->records, c->marks, c->bytes);
    if (c->facts.stamp)
        printf("; checkpoint of %s", when_text(c->facts.stamp, when, sizeof(when)));
    printf("\n");
    if (!c->facts.id)
        printf("no journal\n");
    else if (!c->problems)
        printf("journal: %" PRIu64 " records before the checkpoint, %" PRIu64 " beyond it%s\n",
               c->kept.records, j->records,
               !j->torn ? ""
               : served ? "; more is being written"
                        : "; it ends in something incomplete, which will be cut off");
    printf("%" PRIu64 " problems\n", c->problems);
    return c->problems ? EXIT_NO : EXIT_OK;
}

/* Whether a server has it: only to say so, therefore not kept. None has what cannot be written. */
static int find_server(const char *directory, bool *served, char **why)
{
    struct io *io = io_posix();
    struct io_lock *lock;
    char *path = xasprintf("%s/ecpd.lock", directory);
    char *owner = xasprintf("ecp check pid %ld", (long)getpid());
    int error = io->ops->lock(io, path, owner, &lock, why);
    *served = error == ECP_EBUSY;
    if (error == 0)
        io->ops->unlock(io, lock);
    free(owner);
    free(path);
    return *served || error == ECP_EROFS ? 0 : error;
}

static int check(struct cli *cli, struct store_check *c)
{
    char *why = NULL;
    bool served;
    int code, error;
    if (find_server(c->directory, &served, &why))
        code = cli_failed(cli, "%s", why);
    else if ((error = store_check(c)))
        code = cli_failed(cli, "%s%s%s", c->why ? "" : c->directory, c->why ? "" : ": ",
                          c->why ? c->why : error_text(error));
    else
        code = print_check(c, served);
    free(c->why);
    free(why);
    return code;
}

/* Nothing is made in a directory that is none of a database. */
int cmd_check(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{0}};
    struct store_check c = {.io = io_posix(), .problem = print_problem};
    int code;
    if (getopt_long(argc, argv, "", options, NULL) != -1)
        return EXIT_USAGE;
    if (argc - optind != 1)
        return cli_usage(cli, "one directory of a database is needed");
    c.directory = argv[optind];
    if (!(c.engine = store_open_reader(cli, c.directory, EXIT_NO, &code)))
        return code;
    code = check(cli, &c);
    c.engine->ops->close(c.engine);
    return code;
}
