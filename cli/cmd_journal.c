/* SPDX-License-Identifier: Apache-2.0 */
/* The journal in a database's directory: its files, its records as text or JSON, purging it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "store/engine.h"
#include "store/journal_keep.h"
#include "store/journal_read.h"
#include "store/record.h"
#include "store/recovery.h"

struct journal_print {
    uint64_t since, until; /* stamps */
    struct key below;
    bool one_session;
    uint64_t session;
    struct journal_keep keep;
    struct buf out;
    int number; /* errno of a failed write */
    /* list: of the segment being read */
    uint64_t segment, records, first, last, bytes;
};

/* ---- list ---- */

static void print_segment(const struct journal_print *p)
{
    char name[JOURNAL_NAME_MAX], first[64], last[64];
    if (!p->segment)
        return;
    journal_name(name, p->segment);
    printf("%s  %" PRIu64 " records, %" PRIu64 " bytes, %s to %s\n", name, p->records, p->bytes,
           when_text(p->first, first, sizeof(first)), when_text(p->last, last, sizeof(last)));
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

/* ---- show ---- */

static char *ref_of(const struct journal_op *op)
{
    return op->key.len ? cli_ref(op->key) : xstrdup("^");
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
    char *ref = ref_of(op);
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
    if (op->kind == JOURNAL_NOTES)
        return false;
    return slice_has_prefix(op->key, below) ||
           (op->kind == JOURNAL_KILL && slice_has_prefix(below, op->key));
}

static bool wanted(const struct journal_print *p, const struct journal_record *record)
{
    return record->stamp >= p->since && record->stamp <= p->until &&
           (!p->one_session || record->session == p->session);
}

static int print_out(struct journal_print *p)
{
    p->number = cli_write(STDOUT_FILENO, buf_slice(&p->out));
    buf_clear(&p->out);
    return p->number ? ECP_EIO : 0;
}

static int show_record(void *cookie, const struct journal_record *record,
                       struct journal_position position)
{
    struct journal_print *p = cookie;
    struct reader r = reader_of(record->ops);
    struct journal_op op;
    char when[64];
    int error = 0;
    if (!wanted(p, record))
        return 0;
    while (!reader_at_end(&r) && (error = journal_op_get(&r, &op)) == 0) {
        if (!concerns(p, &op))
            continue;
        buf_printf(&p->out, "%s %016" PRIx64 " %" PRIu64 " ",
                   when_text(record->stamp, when, sizeof(when)), record->session, record->sequence);
        print_op(&p->out, &op);
        put_u8(&p->out, '\n');
    }
    return error ? error : print_out(p);
}

/* ---- export ---- */

/* A byte is the character of its number: JSON has characters only. */
static void json_string(struct buf *out, const char *name, struct slice text)
{
    buf_printf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c >= 0x7F)
            buf_printf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            buf_append(out, (char[]){'\\', (char)c}, 2);
        else
            put_u8(out, c);
    }
    put_u8(out, '"');
}

static void json_value(struct buf *out, struct slice value)
{
    struct buf text = {0};
    zwr_put_string(&text, value);
    json_string(out, "value", buf_slice(&text));
    buf_free(&text);
}

static int json_op(struct buf *out, const struct journal_op *op)
{
    struct record record = {0};
    const char *name;
    if (op->kind == JOURNAL_PUT && record_parse(op->value, &record))
        return ECP_ECORRUPT;
    if (op->kind == JOURNAL_PUT)
        name = record.flags & NODE_VALUE ? "set" : "mark";
    else
        name = op->kind == JOURNAL_DEL ? "remove" : op->kind == JOURNAL_KILL ? "kill" : "append";
    char *ref = ref_of(op);
    buf_printf(out, "{\"op\":\"%s\"", name);
    json_string(out, "ref", slice_str(ref));
    free(ref);
    if (record.flags & NODE_VALUE)
        json_value(out, record.value);
    if (record.flags & NODE_DIR)
        buf_append_str(out, ",\"directory\":true");
    if (op->kind == JOURNAL_APPEND) {
        buf_printf(out, ",\"after\":%u", op->at - (unsigned)RECORD_HEAD);
        json_value(out, op->value);
    }
    put_u8(out, '}');
    return 0;
}

/* Stamps are text: the numbers of many JSON readers have 53 bits. */
static int export_record(void *cookie, const struct journal_record *record,
                         struct journal_position position)
{
    struct journal_print *p = cookie;
    struct reader r = reader_of(record->ops);
    struct journal_op op;
    char when[64];
    size_t shown = 0;
    int error = 0;
    if (!wanted(p, record))
        return 0;
    buf_printf(&p->out,
               "{\"time\":\"%s\",\"stamp\":\"%" PRIu64 "\",\"session\":\"%016" PRIx64
               "\",\"sequence\":%" PRIu64 ",\"segment\":%" PRIu64 ",\"offset\":%" PRIu64
               ",\"operations\":[",
               when_utc(record->stamp, when, sizeof(when)), record->stamp, record->session,
               record->sequence, position.segment, position.offset);
    while (!reader_at_end(&r) && (error = journal_op_get(&r, &op)) == 0) {
        if (!concerns(p, &op))
            continue;
        if (shown++)
            put_u8(&p->out, ',');
        if ((error = json_op(&p->out, &op)))
            break;
    }
    buf_append_str(&p->out, "]}\n");
    if (!shown || error)
        buf_clear(&p->out);
    return error ? error : print_out(p);
}

/* ---- purge ---- */

/* The files before a segment; *oldest: the first of them. 0 or enum ecp_error. */
static int files_before(const char *directory, uint64_t segment, uint64_t *oldest, size_t *files)
{
    uint64_t *list = NULL;
    size_t count = 0;
    int error = journal_segments(io_posix(), directory, &list, &count);
    for (*files = 0; *files < count && list[*files] < segment;)
        ++*files;
    *oldest = *files ? list[0] : segment;
    free(list);
    return error;
}

static int purge_before(struct cli *cli, const char *directory, const struct journal_keep *keep,
                        const struct store_facts *facts)
{
    uint64_t end = facts->id ? facts->position.segment : 0, oldest, still;
    size_t before, after;
    int error = files_before(directory, end, &oldest, &before);
    if (error)
        return cli_failed(cli, "%s: %s", directory, error_text(error));
    uint64_t left = journal_trim(io_posix(), directory, keep, oldest, end, facts->stamp);
    if (left == oldest && before && !keep->all && !keep->time && !keep->bytes)
        return cli_failed(cli,
                          "%s: a backup or a check is under way, which needs the journal: "
                          "purge it afterwards",
                          directory);
    if ((error = files_before(directory, end, &still, &after)))
        return cli_failed(cli, "%s: %s", directory, error_text(error));
    printf("%zu files removed\n", before - after);
    return still >= left
               ? EXIT_OK
               : cli_failed(cli, "%s: files cannot be removed: may you write there?", directory);
}

static int purge(struct cli *cli, const char *directory, const struct journal_keep *keep)
{
    struct store_facts facts;
    int code;
    struct engine *engine = store_open_reader(cli, directory, EXIT_FAILED, &code);
    if (!engine)
        return code;
    int error = recovery_facts(engine, &facts);
    engine->ops->close(engine);
    return error ? cli_failed(cli, "%s: %s", directory, error_text(error))
                 : purge_before(cli, directory, keep, &facts);
}

/* ---- The command ---- */

static bool parse_session(struct cli *cli, const char *text, uint64_t *session)
{
    char *end;
    *session = strtoull(text, &end, 16);
    if (*text && *text != '-' && !*end)
        return true;
    cli_usage(cli, "a session is a hexadecimal number, not \"%s\"", text);
    return false;
}

static int take_option(struct cli *cli, int option, struct journal_print *p)
{
    struct target target;
    switch (option) {
    case 's':
        return when_parse(cli, optarg, &p->since) ? EXIT_OK : EXIT_USAGE;
    case 'u':
        return when_parse(cli, optarg, &p->until) ? EXIT_OK : EXIT_USAGE;
    case 'i':
        p->one_session = true;
        return parse_session(cli, optarg, &p->session) ? EXIT_OK : EXIT_USAGE;
    case 'k':
        if (journal_keep_parse(optarg, &p->keep))
            return EXIT_OK;
        return cli_usage(cli, "what is kept is " JOURNAL_KEEP_FORMS ", not \"%s\"", optarg);
    case 'b':
        if (target_parse(cli, optarg, false, &target))
            return EXIT_USAGE;
        p->below = target.key;
        return EXIT_OK;
    default:
        return EXIT_USAGE;
    }
}

static int take_options(struct cli *cli, int argc, char **argv, struct journal_print *p)
{
    static const struct option options[] = {
        {"since", required_argument, NULL, 's'}, {"until", required_argument, NULL, 'u'},
        {"below", required_argument, NULL, 'b'}, {"session", required_argument, NULL, 'i'},
        {"keep", required_argument, NULL, 'k'},  {0}};
    int option, code = EXIT_OK;
    while (!code && (option = getopt_long(argc, argv, "s:u:b:i:k:", options, NULL)) != -1)
        code = take_option(cli, option, p);
    if (!code && argc - optind != 2)
        code =
            cli_usage(cli, "list, show, export or purge, and a directory of a database are needed");
    return code;
}

/* Without a journal there may be nothing wrong: an orderly stop leaves none. */
static bool has_database(const char *directory)
{
    char *data = xasprintf("%s/data.mdb", directory);
    bool has = access(data, F_OK) == 0;
    free(data);
    return has;
}

static int read_all(struct cli *cli, struct journal_read *read)
{
    struct journal_print *print = read->cookie;
    struct io_lock *lock;
    char *why = NULL;
    int error = read->io->ops->hold(read->io, read->directory, false, &lock);
    if (error)
        return cli_failed(cli, "%s: %s", read->directory, error_text(error));
    error = journal_read(read, &why);
    read->io->ops->unlock(read->io, lock);
    if (read->record == list_record)
        print_segment(print);
    int code = EXIT_OK;
    if (print->number)
        code = cli_failed(cli, "cannot write the output: %s", strerror(print->number));
    else if (error)
        code = cli_failed(cli, "%s%s%s", why ? "" : read->directory, why ? "" : ": ",
                          why ? why : error_text(error));
    else if (!read->first_segment && !has_database(read->directory))
        code = cli_failed(cli, "%s: neither a journal nor a database is there", read->directory);
    free(why);
    return code;
}

int cmd_journal(struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name;
        journal_read_fn *record;
    } verbs[] = {{"list", list_record}, {"show", show_record}, {"export", export_record}};
    struct journal_print print = {.until = UINT64_MAX};
    struct journal_read read = {.io = io_posix(), .live = true, .cookie = &print};
    int code = take_options(cli, argc, argv, &print);
    if (code)
        return code;
    const char *verb = argv[optind];
    read.directory = argv[optind + 1];
    if (!strcmp(verb, "purge"))
        return purge(cli, read.directory, &print.keep);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
        if (!strcmp(verb, verbs[i].name))
            read.record = verbs[i].record;
    if (!read.record)
        return cli_usage(cli, "\"%s\" is none of list, show, export and purge", verb);
    if ((code = store_find_directory(cli, read.directory)))
        return code;
    code = read_all(cli, &read);
    buf_free(&print.out);
    return code;
}
