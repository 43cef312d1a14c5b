/* SPDX-License-Identifier: Apache-2.0 */
/* ecp locks and ecp unlock: who holds and awaits locks, and an administrator's way out. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#define TRIES 5
#define PAUSE (10 * LOOP_MS)

struct listing {
    struct cli *cli;
    struct key under;
    int tries;
    bool json;
    int error;
    struct buf out;
};

/* Text of a peer: nothing of it may reach a terminal or end a string. */
static void put_text(struct buf *out, struct slice text, bool json)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c == 0x7F)
            put_u8(out, '?');
        else if (json && (c == '"' || c == '\\'))
            buf_printf(out, "\\%c", c);
        else
            put_u8(out, c);
    }
}

static void put_time(struct buf *out, uint64_t ns)
{
    time_t seconds = (time_t)(ns / LOOP_SEC);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_append_str(out, text);
}

static const char *state_of(const struct call_lock_row *row)
{
    return row->kept ? "kept" : !row->waiting ? "held" : row->deadlocked ? "deadlock" : "waits";
}

static void put_row(struct listing *l, const struct call_lock_row *row)
{
    char *ref = cli_ref(row->name);
    bool range = row->start != 0 || row->end != UINT64_MAX;
    buf_printf(&l->out, "%-6s %-9s ", state_of(row), row->exclusive ? "exclusive" : "shared");
    put_time(&l->out, row->since);
    buf_printf(&l->out, " %5u  %s", row->count, ref);
    if (range)
        buf_printf(&l->out, " [%llu,%lld)", (unsigned long long)row->start,
                   row->end == UINT64_MAX ? -1LL : (long long)row->end);
    buf_append_str(&l->out, "  ");
    put_text(&l->out, row->text, false);
    put_u8(&l->out, '\n');
    free(ref);
}

static void put_json(struct listing *l, const struct call_lock_row *row, bool first)
{
    char *ref = cli_ref(row->name);
    buf_append_str(&l->out, first ? "\n  {\"reference\":\"" : ",\n  {\"reference\":\"");
    put_text(&l->out, slice_str(ref), true);
    buf_printf(&l->out, "\",\"state\":\"%s\",\"mode\":\"%s\",\"count\":%u,\"since\":\"",
               state_of(row), row->exclusive ? "exclusive" : "shared", row->count);
    put_time(&l->out, row->since);
    buf_printf(&l->out, "\",\"session\":\"%016llx\",\"owner\":\"%llu\",\"start\":%llu",
               (unsigned long long)row->session, (unsigned long long)row->owner,
               (unsigned long long)row->start);
    if (row->end != UINT64_MAX)
        buf_printf(&l->out, ",\"end\":%llu", (unsigned long long)row->end);
    buf_append_str(&l->out, ",\"who\":\"");
    put_text(&l->out, row->text, true);
    buf_append_str(&l->out, "\"}");
    free(ref);
}

static call_locks_fn on_locks;

static void ask(void *cookie)
{
    struct listing *l = cookie;
    call_lock_list(l->cli->client, key_slice(&l->under), 0, on_locks, l);
}

/* The sessions are asked which of the locks that they keep are used: what they say comes soon. */
static bool ask_again(struct listing *l, const struct call_locks *locks)
{
    for (size_t i = 0; i < locks->count && l->tries < TRIES; i++)
        if (locks->rows[i].kept) {
            l->tries++;
            loop_timer(l->cli->loop, PAUSE, ask, l);
            return true;
        }
    return false;
}

static void on_locks(void *cookie, int error, const struct call_locks *locks)
{
    struct listing *l = cookie;
    if (!error && ask_again(l, locks))
        return;
    l->error = error;
    if (!error && l->json)
        buf_printf(&l->out, "{\"more\":%s,\"locks\":[", locks->more ? "true" : "false");
    for (size_t i = 0; !error && i < locks->count; i++) {
        if (l->json)
            put_json(l, &locks->rows[i], i == 0);
        else
            put_row(l, &locks->rows[i]);
    }
    if (!error && l->json)
        buf_append_str(&l->out, locks->count ? "\n]}\n" : "]}\n");
    else if (!error && locks->more)
        fprintf(stderr, "ecp: locks: there are more; give a REF to see those at or below it\n");
    session_wake(l->cli);
}

int cmd_locks(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    struct listing l = {.cli = cli};
    struct target target = {0};
    int option, code;
    while ((option = getopt_long(argc, argv, "j", options, NULL)) != -1) {
        if (option == '?')
            return EXIT_USAGE;
        l.json = true;
    }
    if (argc - optind > 1)
        return cli_usage(cli, "too many arguments: %s", argv[optind + 1]);
    if (argc > optind && (code = target_parse(cli, argv[optind], false, &target)))
        return code;
    if ((code = session_open(cli)))
        return code;
    l.under = target.key;
    ask(&l);
    session_wait(cli);
    if (l.error)
        code = session_error(cli, slice_of(NULL, 0), l.error, NULL);
    else
        fwrite(l.out.data, 1, l.out.len, stdout);
    buf_free(&l.out);
    return code;
}

struct forcing {
    struct cli *cli;
    int error;
    uint64_t count;
};

static void on_forced(void *cookie, int error, uint64_t count)
{
    struct forcing *f = cookie;
    f->error = error;
    f->count = count;
    session_wake(f->cli);
}

int cmd_unlock(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"force", no_argument, NULL, 'f'}, {"below", no_argument, NULL, 'b'}, {0}};
    struct forcing f = {.cli = cli};
    struct target target;
    bool force = false, below = false;
    int option, code;
    while ((option = getopt_long(argc, argv, "fb", options, NULL)) != -1) {
        if (option == '?')
            return EXIT_USAGE;
        force |= option == 'f';
        below |= option == 'b';
    }
    if (!force)
        return cli_usage(cli, "takes a lock from whoever holds it: say --force to do that");
    if (argc - optind != 1)
        return cli_usage(cli, "one REF is wanted");
    if ((code = target_parse(cli, argv[optind], false, &target)) || (code = session_open(cli)))
        return code;
    call_lock_force(cli->client, key_slice(&target.key), below, on_forced, &f);
    session_wait(cli);
    if (f.error)
        return session_error(cli, key_slice(&target.key), f.error, NULL);
    printf("%llu\n", (unsigned long long)f.count);
    return f.count ? EXIT_OK : EXIT_NO;
}
