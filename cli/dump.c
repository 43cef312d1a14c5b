/* SPDX-License-Identifier: Apache-2.0 */
/* Writes subtrees as ZWR or GO text: the loop fetches, a worker formats and writes. */
#include "cli/cli.h"

#include <stdlib.h>

#define SCAN_BUDGET (1u << 20)   /* bytes of an answer */
#define WRITE_PIECE (256u << 10) /* bytes per write(2) */
#define BATCHES     4            /* answers fetched and not yet written */
#define REFUSED_MAX 20           /* refusals shown */

struct dump;

/* An answer's nodes, copied: they are formatted while the next answer is on its way. */
struct batch {
    struct dump *dump;
    struct buf bytes; /* per node: struct item, key, value */
    struct batch *next;
};

struct item {
    uint32_t key_len, value_len;
};

/*
 * Owned by the loop: call .. error. Owned by the worker while it has a job: printer .. refused; the
 * loop looks at them only when no job is left, but for write_error, which is atomic.
 */
struct dump {
    struct cli *cli;
    const struct dump_config *config;
    struct loop_worker *worker;
    struct batch batches[BATCHES];
    struct batch *free;
    unsigned writing; /* batches at the worker */
    struct call *call;
    size_t top; /* subtree at work */
    struct key from;
    bool value_next; /* from's value was too long for the scan: fetch it alone */
    bool ended;
    int error;
    struct zwr_printer printer;
    struct buf out;
    _Atomic int write_error; /* errno */
    uint64_t nodes, refused;
};

static void on_nodes(void *cookie, int error, struct call_nodes *nodes);
static void on_value(void *cookie, int error, const struct node *node);

/* ---- The worker's side ---- */

static void flush(struct dump *d)
{
    if (!d->write_error && d->out.len)
        d->write_error = cli_write(d->config->fd, buf_slice(&d->out));
    buf_clear(&d->out);
}

static void put_go(struct dump *d, struct slice key, struct slice value)
{
    if (!go_value_ok(value)) {
        if (d->refused++ < REFUSED_MAX) {
            char *ref = cli_ref(key);
            fprintf(stderr, "ecp: %s %s: value has line ends, GO cannot carry it; use ZWR\n",
                    d->cli->command, ref);
            free(ref);
        }
        return;
    }
    ref_print(&d->out, key);
    put_u8(&d->out, '\n');
    buf_append_slice(&d->out, value);
    put_u8(&d->out, '\n');
    d->nodes++;
}

static void format_batch(void *cookie)
{
    struct batch *batch = cookie;
    struct dump *d = batch->dump;
    if (batch->bytes.len == 0)
        return;
    const uint8_t *at = batch->bytes.data, *end = at + batch->bytes.len;
    while (at < end && !d->write_error) {
        struct item item;
        memcpy(&item, at, sizeof item);
        struct slice key = slice_of(at + sizeof item, item.key_len);
        struct slice value = slice_of(key.data + key.len, item.value_len);
        if (d->config->format == ZWR_FORMAT_GO) {
            put_go(d, key, value);
        } else {
            zwr_printer_line(&d->printer, &d->out, key, value);
            d->nodes++;
        }
        if (d->out.len >= WRITE_PIECE)
            flush(d);
        at = value.data + value.len;
    }
}

/* ---- The loop's side ---- */

static void finish_if_done(struct dump *d)
{
    if (d->ended && !d->writing)
        session_wake(d->cli);
}

static void stop(struct dump *d, int error)
{
    d->error = error;
    d->ended = true;
    finish_if_done(d);
}

/* Asks for what comes next, unless every batch is in use (then a batch's end calls this again). */
static void ask(struct dump *d)
{
    if (d->ended || d->call || !d->free)
        return;
    struct slice from = key_slice(&d->from);
    if (d->value_next) {
        d->call = call_value(d->cli->client, from, 0, VALUE_MAX_LEN, on_value, d);
        return;
    }
    struct call_scan_args args = {.top = key_slice(&d->config->tops[d->top].key),
                                  .from = from,
                                  .max_value = VALUE_MAX_LEN,
                                  .budget = SCAN_BUDGET};
    d->call = call_scan(d->cli->client, &args, on_nodes, d);
}

static void next_top(struct dump *d)
{
    key_root(&d->from);
    if (++d->top >= d->config->count)
        stop(d, ECP_OK);
}

static void batch_written(void *cookie)
{
    struct batch *batch = cookie;
    struct dump *d = batch->dump;
    batch->next = d->free;
    d->free = batch;
    d->writing--;
    if (d->write_error && !d->ended) {
        call_cancel(d->call);
        d->call = NULL;
        d->ended = true;
    }
    ask(d);
    finish_if_done(d);
}

static struct batch *take_batch(struct dump *d)
{
    struct batch *batch = d->free;
    d->free = batch->next;
    buf_clear(&batch->bytes);
    return batch;
}

static void submit(struct dump *d, struct batch *batch)
{
    d->writing++;
    loop_worker_run(d->cli->loop, d->worker, format_batch, batch_written, batch);
}

static void add_item(struct batch *batch, struct slice key, struct slice value)
{
    struct item item = {(uint32_t)key.len, (uint32_t)value.len};
    buf_reserve(&batch->bytes, sizeof item + key.len + value.len);
    uint8_t *at = batch->bytes.data + batch->bytes.len;
    memcpy(at, &item, sizeof item);
    memcpy(at + sizeof item, key.data, key.len);
    if (value.len)
        memcpy(at + sizeof item + key.len, value.data, value.len);
    batch->bytes.len += sizeof item + key.len + value.len;
}

static void on_nodes(void *cookie, int error, struct call_nodes *nodes)
{
    struct dump *d = cookie;
    struct slice key, last = {0};
    struct node node;
    d->call = NULL;
    if (error) {
        stop(d, error);
        return;
    }
    struct batch *batch = take_batch(d);
    size_t last_at = 0;
    while (call_nodes_next(nodes, &key, &node)) {
        if (node.value_len && !node.value.data) {
            d->value_next = true;
            break;
        }
        last_at = batch->bytes.len;
        add_item(batch, key, node.value);
    }
    if (d->value_next) {
        key_copy(&d->from, key);
    } else if (batch->bytes.len) {
        struct item item;
        memcpy(&item, batch->bytes.data + last_at, sizeof item);
        last = slice_of(batch->bytes.data + last_at + sizeof item, item.key_len);
        key_copy(&d->from, last);
    } else if (!call_nodes_ended(nodes)) {
        error = ECP_EPROTO; /* neither nodes nor the end: would go on for ever */
    }
    submit(d, batch);
    if (error)
        stop(d, error);
    else if (!d->value_next && call_nodes_ended(nodes))
        next_top(d);
    ask(d);
}

static void on_value(void *cookie, int error, const struct node *node)
{
    struct dump *d = cookie;
    d->call = NULL;
    d->value_next = false;
    if (!error && (node->flags & NODE_VALUE) && node->value.len != node->value_len)
        error = ECP_EPROTO;
    if (error) {
        stop(d, error);
        return;
    }
    if (node->flags & NODE_VALUE) { /* else it was killed meanwhile */
        struct batch *batch = take_batch(d);
        add_item(batch, key_slice(&d->from), node->value);
        submit(d, batch);
    }
    ask(d);
}

int dump_run(struct cli *cli, struct dump_config *config)
{
    struct dump *d = xcalloc(1, sizeof *d);
    d->cli = cli;
    d->config = config;
    for (int i = 0; i < BATCHES; i++) {
        d->batches[i] = (struct batch){.dump = d, .next = d->free};
        d->free = &d->batches[i];
    }
    d->worker = loop_worker_new(cli->loop, "ecp-format");
    ask(d);
    session_wait(cli);
    loop_worker_free(cli->loop, d->worker);
    flush(d);
    int code = EXIT_OK;
    if (d->write_error)
        code = cli_failed(cli, "cannot write the output: %s", strerror(d->write_error));
    else if (d->error) {
        session_error(cli, slice_of(NULL, 0), d->error, NULL);
        code = EXIT_FAILED;
    }
    config->nodes = d->nodes;
    config->refused = d->refused;
    for (int i = 0; i < BATCHES; i++)
        buf_free(&d->batches[i].bytes);
    zwr_printer_free(&d->printer);
    buf_free(&d->out);
    free(d);
    return code;
}
