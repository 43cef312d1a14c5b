/* SPDX-License-Identifier: Apache-2.0 */
/* The real loop and network: timers, workers, echo over every kind of socket, failures. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/event.h"

#define BULK (8u << 20)

static struct loop *loop;
static struct network *network;

static void setup(void)
{
    loop = event_loop_new();
    network = event_network_new(loop);
}

static void teardown(void)
{
    event_network_free(network);
    event_loop_free(loop);
}

static char order[16];

static void note(void *cookie)
{
    strcat(order, cookie);
}

static void stop(void *cookie)
{
    event_loop_stop(loop);
}

static void soon_again(void *cookie)
{
    note("a");
    loop_soon(loop, note, "d");
}

Test(net, order, .init = setup, .fini = teardown)
{
    uint64_t start = loop_now(loop);
    loop_timer(loop, 60 * LOOP_MS, stop, NULL);
    loop_timer(loop, 40 * LOOP_MS, note, "3");
    loop_timer(loop, 20 * LOOP_MS, note, "1");
    loop_cancel(loop, loop_timer(loop, 30 * LOOP_MS, note, "x"));
    loop_soon(loop, soon_again, NULL);
    struct loop_event *gone = loop_soon(loop, note, "x");
    loop_soon(loop, note, "c");
    loop_cancel(loop, gone);
    event_loop_run(loop);
    cr_assert_str_eq(order, "acd13");
    cr_assert_geq(loop_now(loop) - start, 60 * LOOP_MS);
    cr_assert_neq(loop_random(loop), loop_random(loop));
}

static struct loop_worker *worker;
static pthread_t worked_on;
static int worked, finished;

static void work(void *cookie)
{
    worked_on = pthread_self();
    worked++;
}

static void work_done(void *cookie)
{
    cr_assert(!pthread_equal(worked_on, pthread_self()));
    if (++finished == 100) {
        loop_worker_free(loop, worker);
        event_loop_stop(loop);
    }
}

Test(net, worker, .init = setup, .fini = teardown)
{
    worker = loop_worker_new(loop, "a worker with a long name");
    for (int i = 0; i < 100; i++)
        loop_worker_run(loop, worker, work, work_done, NULL);
    cr_assert_eq(finished, 0);
    event_loop_run(loop);
    cr_assert_eq(worked, 100);
}

static struct stream *served, *client;
static uint8_t *bulk;
static size_t received;
static int result = -1;
static char *result_why;

static size_t echo_data(void *cookie, struct slice bytes)
{
    stream_write(served, bytes);
    return bytes.len;
}

static void nothing(void *cookie)
{
}

static void echo_closed(void *cookie, const char *reason)
{
    stream_close(served);
    event_loop_stop(loop);
}

static const struct stream_events echo_events = {echo_data, nothing, echo_closed};

static void accept_one(void *cookie, struct stream *stream)
{
    served = stream;
    stream_start(stream, &echo_events, NULL);
}

static size_t client_data(void *cookie, struct slice bytes)
{
    cr_assert(bytes.len >= 1000 || received == 0 || BULK - received < 1000);
    cr_assert_eq(memcmp(bulk + received, bytes.data, bytes.len), 0);
    received += bytes.len;
    stream_want(client, BULK - received < 1000 ? 1 : 1000);
    if (received == BULK)
        stream_close(client);
    return bytes.len;
}

static void client_closed(void *cookie, const char *reason)
{
    cr_assert_fail("%s", reason);
}

static const struct stream_events client_events = {client_data, nothing, client_closed};

static void connected(void *cookie, struct stream *stream, int error, const char *why)
{
    result = error;
    if (error) {
        result_why = xstrdup(why);
        event_loop_stop(loop);
        return;
    }
    client = stream;
    stream_start(stream, &client_events, NULL);
    stream_write(stream, slice_of(bulk, BULK));
    cr_assert(stream_pending(stream) > 0 && stream_pending(stream) <= (8u << 20));
}

static void echo(const char *address)
{
    struct listener *listener;
    char *why;
    bulk = xmalloc(BULK);
    for (size_t i = 0; i < BULK; i++)
        bulk[i] = (uint8_t)(i * i >> 7);
    int e = network_listen(network, address, accept_one, NULL, &listener, &why);
    cr_assert_eq(e, 0, "%s", why);
    int port = event_listener_port(listener);
    char *to =
        port ? xasprintf("%.*s%d", (int)strlen(address) - 1, address, port) : xstrdup(address);
    network_connect(network, to, connected, NULL);
    event_loop_run(loop);
    cr_assert_eq(received, BULK);
    network_unlisten(network, listener);
    free(to);
    free(bulk);
}

Test(net, echo_v4, .init = setup, .fini = teardown, .timeout = 30)
{
    echo("127.0.0.1:0");
}

Test(net, echo_v6, .init = setup, .fini = teardown, .timeout = 30)
{
    if (access("/proc/net/if_inet6", R_OK) != 0)
        cr_skip_test("no IPv6");
    echo("[::1]:0");
}

Test(net, echo_name, .init = setup, .fini = teardown, .timeout = 30)
{
    echo("localhost:0");
}

Test(net, echo_unix_and_stale, .init = setup, .fini = teardown, .timeout = 30)
{
    char dir[] = "/tmp/test_net.XXXXXX", *why = NULL;
    struct listener *a, *b;
    struct stat st;
    cr_assert_not_null(mkdtemp(dir));
    char *address = xasprintf("unix:%s/s", dir), *moved = xasprintf("%s/old", dir);
    echo(address);
    cr_assert_neq(access(address + 5, F_OK), 0, "unlisten removes the file");

    cr_assert_eq(network_listen(network, address, accept_one, NULL, &a, &why), 0);
    cr_assert(stat(address + 5, &st) == 0 && (st.st_mode & 0777) == 0666);
    cr_assert_eq(network_listen(network, address, accept_one, NULL, &b, &why), ECP_EBUSY);
    cr_assert_not_null(why);
    free(why);
    cr_assert_eq(rename(address + 5, moved), 0);
    network_unlisten(network, a); /* leaves a stale file under the other name */
    cr_assert_eq(rename(moved, address + 5), 0);
    cr_assert_eq(network_listen(network, address, accept_one, NULL, &b, &why), 0);
    network_unlisten(network, b);
    cr_assert_eq(rmdir(dir), 0);
    free(address);
    free(moved);
}

static void fails(const char *address)
{
    result = -1;
    network_connect(network, address, connected, NULL);
    cr_assert_eq(result, -1, "not from inside the call");
    event_loop_run(loop);
    cr_assert_eq(result, ECP_EUNREACHABLE);
    cr_assert_not_null(result_why);
    free(result_why);
}

Test(net, unreachable, .init = setup, .fini = teardown, .timeout = 60)
{
    fails("127.0.0.1:1");
    fails("localhost:1");
    fails("no-such-host.invalid:1");
    fails("unix:/nonexistent/socket");
    fails("nonsense");
    fails("1.2.3.4:99999");
    fails("::1:80");
}

Test(net, cancel, .init = setup, .fini = teardown, .timeout = 60)
{
    void *a = network_connect(network, "127.0.0.1:1", connected, NULL);
    network_connect_cancel(network, a);
    void *b = network_connect(network, "localhost:1", connected, NULL);
    network_connect_cancel(network, b);
    network_connect_cancel(network, network_connect(network, "no.invalid:1", connected, NULL));
    loop_timer(loop, 50 * LOOP_MS, stop, NULL);
    event_loop_run(loop);
    cr_assert_eq(result, -1);
}
