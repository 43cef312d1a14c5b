/* SPDX-License-Identifier: Apache-2.0 */
/* The session with the server, and calls that run the loop until their answer is there. */
#include "cli/cli.h"

#include <stdlib.h>
#include <unistd.h>

#include "net/event.h"

static void on_state(void *cookie, enum client_state state, int error, const char *why)
{
    struct cli *cli = cookie;
    if (state == CLIENT_NORMAL && cli->resumes)
        client_set_reconnect(cli->client, true);
    if (why) {
        free(cli->lost_why);
        cli->lost_why = xstrdup(why);
    }
    if (state != CLIENT_LOST)
        return;
    cli->lost = error;
    if (cli->wake_on_loss)
        session_wake(cli);
}

static void on_lock(void *cookie, bool lost, uint64_t owner, struct slice name)
{
    struct cli *cli = cookie;
    cli->lock_taken |= lost;
    if (lost && cli->wake_on_loss)
        session_wake(cli);
}

static void on_reclaim(void *cookie)
{
    struct cli *cli = cookie;
    if (cli->reclaim)
        cli->reclaim(cli->reclaim_cookie);
}

static void on_session_lost(void *cookie)
{
    struct cli *cli = cookie;
    cli->over = true;
    if (cli->wake_on_loss)
        session_wake(cli);
}

int session_open(struct cli *cli)
{
    char *why = NULL;
    if (!cli->url) {
        const char *environment = getenv("ECP_URL");
        cli->url = xstrdup(environment && *environment ? environment : ECP_DEFAULT_URL);
    }
    if (url_parse(cli->url, &cli->where, &why)) {
        cli_usage(cli, "%s: %s", cli->url, why ? why : "not a URL");
        free(why);
        return EXIT_USAGE;
    }
    char *program = xasprintf("ecp %s %ld", PACKAGE_VERSION, (long)getpid());
    cli->loop = event_loop_new();
    cli->network = event_network_new(cli->loop);
    struct client_config config = {.address = cli->where.address,
                                   .namespace = cli->where.namespace,
                                   .program = program,
                                   .resumes = cli->resumes,
                                   .lock = on_lock,
                                   .reclaim = on_reclaim,
                                   .session_lost = on_session_lost,
                                   .state = on_state,
                                   .cookie = cli};
    cli->client = client_new(cli->loop, cli->network, &config);
    free(program);
    return EXIT_OK;
}

void session_close(struct cli *cli)
{
    if (!cli->client)
        return;
    client_free(cli->client);
    event_loop_finish(cli->loop, 2 * LOOP_SEC); /* lets the farewell out */
    event_network_free(cli->network);
    event_loop_free(cli->loop);
    url_free(&cli->where);
    cli->client = NULL;
}

void session_wait(struct cli *cli)
{
    event_loop_run(cli->loop);
}

void session_wake(struct cli *cli)
{
    event_loop_stop(cli->loop);
}

static void turn_over(void *cookie)
{
    session_wake(cookie);
}

void session_turn(struct cli *cli)
{
    loop_soon(cli->loop, turn_over, cli);
    session_wait(cli);
}

/* What the user can do about an error; NULL: nothing comes to mind. */
static const char *cure(int error)
{
    switch (error) {
    case ECP_EUNREACHABLE:
    case ECP_ETIMEOUT:
        return "is ecpd running?";
    case ECP_ENAMESPACE:
        return "the server's ecpd.conf lists its namespaces";
    case ECP_ENOSPC:
        return "free disk space or raise the database's limit in ecpd.conf; see the server's log";
    case ECP_EDISCONNECTED:
        return "whether an update under way was applied is not known: look before repeating it";
    case ECP_EKEYLONG:
        return "a reference takes at most 511 bytes";
    case ECP_EVALUELONG:
        return "a value takes at most 4 MiB";
    case ECP_ESHUTDOWN:
    case ECP_EBUSY:
        return "try again later";
    case ECP_ENUMERIC:
        return "numbers stay below 1E47";
    case ECP_ECORRUPT:
    case ECP_EIO:
        return "see the server's log";
    default:
        return NULL;
    }
}

static int exit_code(int error)
{
    switch (error) {
    case ECP_ENOENT:
    case ECP_EEXIST:
    case ECP_ESTALE:
        return EXIT_NO;
    case ECP_EINVAL:
    case ECP_EKEYLONG:
    case ECP_EVALUELONG:
        return EXIT_USAGE;
    default:
        return EXIT_FAILED;
    }
}

int session_error(struct cli *cli, struct slice key, int error, const char *more)
{
    char *ref = key.data ? cli_ref(key) : NULL;
    const char *help = cure(error);
    fprintf(stderr, "ecp: %s%s%s: ", cli->command, ref ? " " : "", ref ? ref : "");
    if (cli->lost && error == cli->lost) {
        bool told =
            cli->lost_why && (error == ECP_ENAMESPACE || strstr(cli->lost_why, error_text(error)));
        fprintf(stderr, "%s: ", cli->where.text ? cli->where.text : cli->url);
        if (told)
            fputs(cli->lost_why, stderr);
        else
            fputs(error == ECP_EUNREACHABLE ? "cannot reach the server" : error_text(error),
                  stderr);
        more = told ? NULL : cli->lost_why;
    } else {
        fputs(error_text(error), stderr);
    }
    if (more && *more)
        fprintf(stderr, ": %s", more);
    if (help)
        fprintf(stderr, "; %s", help);
    fputc('\n', stderr);
    free(ref);
    return cli->lost ? EXIT_FAILED : exit_code(error);
}

/* ---- Calls ---- */

/* One call under way and where its answer goes. */
struct answer {
    struct cli *cli;
    int error;
    struct node *node;
    struct buf *bytes; /* value, or result of INCREMENT; may be NULL */
    bool value_left;   /* the value was too long to come along */
    struct key *key;
    bool found;
    char *text;
    void (*entry)(void *cookie, struct slice level);
    void *cookie;
};

static void on_node(void *cookie, int error, const struct node *node)
{
    struct answer *a = cookie;
    a->error = error;
    if (!error) {
        *a->node = *node;
        a->value_left = (node->flags & NODE_VALUE) && node->value_len && !node->value.data;
        if (a->bytes) {
            buf_clear(a->bytes);
            if (node->value.data)
                buf_append_slice(a->bytes, node->value);
        }
        a->node->value = slice_of(NULL, 0);
    }
    session_wake(a->cli);
}

int session_node(struct cli *cli, struct slice key, enum view view, struct node *node,
                 struct buf *value)
{
    struct answer a = {.cli = cli, .node = node, .bytes = value};
    call_node(cli->client, key, view, value ? VALUE_MAX_LEN : 0, on_node, &a);
    session_wait(cli);
    if (!a.error && value && a.value_left) {
        struct node whole;
        a.node = &whole;
        call_value(cli->client, key, 0, VALUE_MAX_LEN, on_node, &a);
        session_wait(cli);
    }
    return a.error;
}

static void on_update(void *cookie, int error, const struct call_applied *applied)
{
    struct answer *a = cookie;
    a->error = error;
    if (error && applied && applied->text && *applied->text)
        a->text = xstrdup(applied->text);
    if (!error && a->bytes) {
        buf_clear(a->bytes);
        if (applied->count)
            buf_append_slice(a->bytes, applied->values[0]);
    }
    session_wake(a->cli);
}

int session_update(struct cli *cli, const struct update *update, struct buf *result)
{
    struct answer a = {.cli = cli, .bytes = result};
    call_update(cli->client, update, 1, on_update, &a);
    session_wait(cli);
    int code = a.error ? session_error(cli, update->key, a.error, a.text) : EXIT_OK;
    free(a.text);
    return code;
}

static void on_first(void *cookie, int error, struct call_nodes *nodes)
{
    struct answer *a = cookie;
    struct slice key;
    struct node node;
    a->error = error;
    if (!error && call_nodes_next(nodes, &key, &node) && node.flags) {
        key_copy(a->key, key);
        a->found = true;
    }
    session_wake(a->cli);
}

int session_order(struct cli *cli, struct slice parent, struct slice level, bool backwards,
                  struct key *next, bool *found)
{
    struct answer a = {.cli = cli, .key = next};
    call_order(cli->client, parent, level, backwards, VIEW_GLOBALS, 0, on_first, &a);
    session_wait(cli);
    *found = a.found;
    return a.error;
}

int session_scan_one(struct cli *cli, const struct call_scan_args *args, struct key *next,
                     bool *found)
{
    struct answer a = {.cli = cli, .key = next};
    call_scan(cli->client, args, on_first, &a);
    session_wait(cli);
    *found = a.found;
    return a.error;
}

static void on_pages(void *cookie, int error, const struct call_pages *pages)
{
    struct answer *a = cookie;
    a->error = error;
    if (!error && pages->count) {
        const struct page *page = &pages->pages[0];
        for (size_t i = 0; i < page->count; i++)
            a->entry(a->cookie, page->entries[i].sub);
        a->found = page->to_end;
    }
    session_wake(a->cli);
}

int session_children(struct cli *cli, const struct call_read_args *args,
                     void (*entry)(void *cookie, struct slice level), void *cookie, bool *to_end)
{
    struct answer a = {.cli = cli, .entry = entry, .cookie = cookie};
    call_read(cli->client, args, on_pages, &a);
    session_wait(cli);
    *to_end = a.found;
    return a.error;
}

static void on_plain(void *cookie, int error)
{
    struct answer *a = cookie;
    a->error = error;
    session_wake(a->cli);
}

int session_ping(struct cli *cli)
{
    struct answer a = {.cli = cli};
    call_ping(cli->client, on_plain, &a);
    session_wait(cli);
    return a.error;
}

int session_sync(struct cli *cli)
{
    struct answer a = {.cli = cli};
    call_sync(cli->client, on_plain, &a);
    session_wait(cli);
    return a.error;
}

static void on_stats(void *cookie, int error, struct slice text)
{
    struct answer *a = cookie;
    a->error = error;
    if (!error)
        buf_append_slice(a->bytes, text);
    session_wake(a->cli);
}

int session_stats(struct cli *cli, struct buf *text)
{
    struct answer a = {.cli = cli, .bytes = text};
    call_stats(cli->client, on_stats, &a);
    session_wait(cli);
    return a.error;
}
