/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about a database's directory, without a server: check, journal. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "store/check.h"
#include "store/engine_lmdb.h"
#include "store/record.h"

#define MAP_SIZE (UINT64_C(1) << 40) /* address space for any database */

/* "2026-01-31 12:34:56.123456789" of a stamp. */
static const char *time_text(uint64_t stamp, char *room, size_t size)
{
    time_t seconds = (time_t)(stamp / LOOP_SEC);
    struct tm tm;
    char day[32];
    localtime_r(&seconds, &tm);
    strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(room, size, "%s.%09u", day, (unsigned)(stamp % LOOP_SEC));
    return room;
}

/* ---- check ---- */

static void print_problem(void *cookie, const char *text)
{
    printf("%s\n", text);
}

static int print_check(const struct store_check *c)
{
    char when[64];
    const struct journal_read *j = &c->journal;
    printf("%" PRIu64 " nodes, %" PRIu64 " bytes", c->records, c->bytes);
    if (c->facts.stamp)
        printf("; checkpoint of %s", time_text(c->facts.stamp, when, sizeof(when)));
    printf("\n");
    if (!c->facts.id)
        printf("no journal\n");
    else if (!c->problems)
        printf("journal: %" PRIu64 " records in %" PRIu64 " segments beyond the checkpoint%s\n",
               j->records, j->segments,
               j->torn ? "; it ends in something incomplete, which will be cut off" : "");
    printf("%" PRIu64 " problems\n", c->problems);
    return c->problems ? EXIT_NO : EXIT_OK;
}

static int check_locked(struct cli *cli, const char *directory)
{
    struct store_check check = {.io = io_posix(), .directory = directory, .problem = print_problem};
    char *data = xasprintf("%s/data.mdb", directory), *why = NULL;
    int code;
    if (access(data, R_OK | W_OK)) {
        code = cli_failed(cli, "%s: %s", data, strerror(errno));
    } else if (engine_lmdb_open(directory, MAP_SIZE, &check.engine, &why)) {
        code = cli_failed(cli, "%s", why);
        free(why);
    } else {
        int error = store_check(&check);
        code =
            error ? cli_failed(cli, "%s: %s", directory, error_text(error)) : print_check(&check);
        check.engine->ops->close(check.engine);
    }
    free(data);
    return code;
}

int cmd_check(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{0}};
    struct io *io = io_posix();
    struct io_lock *lock;
    char *why = NULL;
    if (getopt_long(argc, argv, "", options, NULL) != -1)
        return EXIT_USAGE;
    if (argc - optind != 1)
        return cli_usage(cli, "one directory of a database is needed");
    if (access(argv[optind], R_OK | W_OK | X_OK))
        return cli_failed(cli, "%s: %s", argv[optind], strerror(errno));
    char *path = xasprintf("%s/ecpd.lock", argv[optind]);
    char *owner = xasprintf("ecp check pid %ld", (long)getpid());
    int code;
    if (io->ops->lock(io, path, owner, &lock, &why)) {
        code = cli_failed(cli, "%s: stop what uses the database first", why);
        free(why);
    } else {
        code = check_locked(cli, argv[optind]);
        io->ops->unlock(io, lock);
    }
    free(owner);
    free(path);
    return code;
}

/* ---- journal ---- */

struct journal_print {
    uint64_t since, until; /* stamps */
    struct key below;
    /* list: of the segment being read */
    uint64_t segment, records, first, last, bytes;
};

static void print_segment(const struct journal_print *p)
{
    char name[JOURNAL_NAME_MAX], first[64], last[64];
    if (!p->segment)
        return;
    journal_name(name, p->segment);
    printf("%s  %" PRIu64 " records, %" PRIu64 " bytes, %s to %s\n", name, p->records, p->bytes,
           time_text(p->first, first, sizeof(first)), time_text(p->last, last, sizeof(last)));
}

static int list_record(void *cookie, const struct journal_record *record,
                       struct journal_position position)
{
    struct journal_print *p = cookie;
    if (position.segment != p->segment) {
        print_segment(p);
        p->segment = position.segment;
        p->records = p->bytes = 0;
        p->first = record->stamp;
    }
    p->records++;
    p->bytes += record->size;
    p->last = record->stamp;
    return 0;
}

/* "set" with a value, "mark" for a directory's mark without one. */
static void print_put(struct buf *line, const struct journal_op *op, const char *ref)
{
    struct record record;
    if (record_parse(op->value, &record)) {
        buf_printf(line, "set     %s (does not decode)", ref);
    } else if (!(record.flags & NODE_VALUE)) {
        buf_printf(line, "mark    %s", ref);
    } else {
        buf_append_str(line, "set     ");
        if (zwr_print_line(line, op->key, record.value))
            buf_printf(line, "%s (%zu bytes)", ref, record.value.len);
        else
            line->len--; /* its newline */
    }
}

static void print_op(struct buf *line, const struct journal_op *op)
{
    char *ref = op->key.len ? cli_ref(op->key) : xstrdup("(everything)");
    switch (op->kind) {
    case JOURNAL_PUT:
        print_put(line, op, ref);
        break;
    case JOURNAL_DEL:
        buf_printf(line, "remove  %s", ref);
        break;
    case JOURNAL_KILL:
        buf_printf(line, "kill    %s", ref);
        break;
    case JOURNAL_APPEND:
        buf_printf(line, "append  %s (%zu bytes after %u)", ref, op->value.len,
                   op->at - (unsigned)RECORD_HEAD);
        break;
    }
    free(ref);
}

static bool concerns(const struct journal_print *p, const struct journal_op *op)
{
    struct slice below = key_slice(&p->below);
    return slice_has_prefix(op->key, below) ||
           (op->kind == JOURNAL_KILL && slice_has_prefix(below, op->key));
}

static int show_record(void *cookie, const struct journal_record *record,
                       struct journal_position position)
{
    struct journal_print *p = cookie;
    struct reader r = reader_of(record->ops);
    struct journal_op op;
    struct buf line = {0};
    char when[64];
    int error = 0;
    if (record->stamp < p->since || record->stamp > p->until)
        return 0;
    while (!reader_at_end(&r) && (error = journal_op_get(&r, &op)) == 0) {
        if (!concerns(p, &op))
            continue;
        buf_printf(&line, "%s %016" PRIx64 " %" PRIu64 " ",
                   time_text(record->stamp, when, sizeof(when)), record->session, record->sequence);
        print_op(&line, &op);
        put_u8(&line, '\n');
    }
    if (cli_write(STDOUT_FILENO, buf_slice(&line)))
        error = ECP_EIO;
    buf_free(&line);
    return error;
}

/* "@SECONDS" or "YYYY-MM-DD[ HH:MM:SS]", local time, into a stamp. */
static bool parse_time(struct cli *cli, const char *text, uint64_t *stamp)
{
    struct tm tm = {.tm_isdst = -1};
    uint64_t seconds;
    const char *end;
    if (text[0] == '@') {
        if (!cli_number(cli, "TIME", text + 1, 0, UINT64_MAX / LOOP_SEC - 1, &seconds))
            return false;
        *stamp = seconds * LOOP_SEC;
        return true;
    }
    end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end)
        end = strptime(end, *end == 'T' ? "T%H:%M:%S" : " %H:%M:%S", &tm);
    if (!end || *end) {
        cli_usage(cli, "a time is @SECONDS or \"2026-01-31 12:34:56\", not \"%s\"", text);
        return false;
    }
    *stamp = (uint64_t)mktime(&tm) * LOOP_SEC;
    return true;
}

static int journal_options(struct cli *cli, int argc, char **argv, struct journal_print *p)
{
    static const struct option options[] = {{"since", required_argument, NULL, 's'},
                                            {"until", required_argument, NULL, 'u'},
                                            {"below", required_argument, NULL, 'b'},
                                            {0}};
    struct target target;
    int option;
    while ((option = getopt_long(argc, argv, "s:u:b:", options, NULL)) != -1) {
        if (option == '?' || (option == 's' && !parse_time(cli, optarg, &p->since)) ||
            (option == 'u' && !parse_time(cli, optarg, &p->until)))
            return EXIT_USAGE;
        if (option != 'b')
            continue;
        if (target_parse(cli, optarg, false, &target))
            return EXIT_USAGE;
        p->below = target.key;
    }
    return EXIT_OK;
}

int cmd_journal(struct cli *cli, int argc, char **argv)
{
    struct journal_print print = {.until = UINT64_MAX};
    struct journal_read read = {.io = io_posix(), .cookie = &print};
    char *why = NULL;
    int code = journal_options(cli, argc, argv, &print);
    if (code)
        return code;
    if (argc - optind != 2)
        return cli_usage(cli, "list or show, and a directory of a database are needed");
    if (!strcmp(argv[optind], "list"))
        read.record = list_record;
    else if (!strcmp(argv[optind], "show"))
        read.record = show_record;
    else
        return cli_usage(cli, "\"%s\" is neither list nor show", argv[optind]);
    read.directory = argv[optind + 1];
    int error = journal_read(&read, &why);
    if (read.record == list_record)
        print_segment(&print);
    if (error)
        code = cli_failed(cli, "%s", why ? why : error_text(error));
    free(why);
    return code;
}
