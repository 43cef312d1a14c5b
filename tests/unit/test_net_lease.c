/* SPDX-License-Identifier: Apache-2.0 */
/* The client's lease against a scripted server, in the simulator's time. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "net/call.h"
#include "net/conn.h"
#include "net/msg.h"
#include "tests/sim/world.h"

/* A frame that the server got and that the test has not looked at yet. */
struct got {
    struct got *next;
    uint16_t type;
    uint64_t id;
    struct slice payload; /* on the heap */
};

static struct world *world;
static struct process *process;
static struct loop *loop;
static struct listener *listener;
static struct conn *peer;
static struct client *client;
static struct client_config config;
static struct got *frames, **frames_end = &frames;
static uint32_t term_ms = 10000, recovery_ms = 60000;
static uint64_t session = 100, serial; /* serial: of the invalidation that came last */
static uint64_t lease_end_when_lost;
static int lost_error, trouble;
static bool answer_pings, keep_session; /* keep_session: the next WELCOME resumes */
static struct call *victim;        /* cancelled by lease_lost */
static struct key key;
static struct buf story; /* what the client's user was told, a letter each */

static void tell(char what)
{
    put_u8(&story, (uint8_t)what);
}

/* The server */

static void send_bytes(uint16_t type, uint64_t id, struct slice payload)
{
    struct buf b = {0};
    size_t mark = frame_begin(&b, type, id);
    buf_append_slice(&b, payload);
    frame_end(&b, mark);
    conn_send(peer, &b);
    buf_free(&b);
}

static void send_welcome(uint64_t id)
{
    struct buf b = {0};
    struct msg_welcome w = {.version = 1, .lease_ms = term_ms, .recovery_ms = recovery_ms};

    w.session = keep_session ? session : ++session;
    w.secret = session * 7;
    msg_put_welcome(&b, &w);
    send_bytes(MSG_WELCOME, id, buf_slice(&b));
    buf_free(&b);
}

static void send_page(uint64_t id, uint64_t lease)
{
    struct buf b = {0};
    struct msg_pages_writer w;
    struct page page = {.parent = key_slice(&key)};
    msg_pages_begin(&w, &b);
    msg_pages_page(&w, &page);
    msg_pages_page_end(&w, true, lease);
    send_bytes(MSG_PAGES, id, buf_slice(&b));
    buf_free(&b);
}

static void send_invalidate(uint64_t id)
{
    struct buf b = {0};
    struct touch touch = {TOUCH_SUBTREE, key_slice(&key)};
    msg_put_touches(&b, &touch, 1);
    send_bytes(MSG_INVALIDATE, id, buf_slice(&b));
    buf_free(&b);
}

static void server_frame(void *cookie, const struct frame *f)
{
    if (answer_pings && f->type == MSG_PING) {
        send_bytes(MSG_PONG, f->id, slice_of(NULL, 0));
        return;
    }
    struct got *got = xcalloc(1, sizeof *got);
    *got = (struct got){.type = f->type, .id = f->id};
    got->payload = slice_of(xmemdup(f->payload.data, f->payload.len), f->payload.len);
    *frames_end = got;
    frames_end = &got->next;
}

static void drop_peer(void)
{
    conn_close(peer);
    peer = NULL;
}

static void server_closed(void *cookie, int error, const char *why)
{
    drop_peer();
}

static const struct conn_events server_events = {.frame = server_frame, .closed = server_closed};

static void on_accept(void *cookie, struct stream *stream)
{
    peer = conn_new(loop, stream, FRAME_MAX_PAYLOAD, &server_events, NULL);
}

/* The client's user */

static void on_state(void *cookie, enum client_state state, int error, const char *why)
{
    trouble = error ? error : trouble;
    lost_error = state == CLIENT_LOST ? error : 0;
    if (state == CLIENT_CONNECTING)
        lease_end_when_lost = client_lease_end(client);
}

static void on_invalidate(void *cookie, uint64_t number, const struct touch *touches, size_t count)
{
    cr_assert(count == 1 && touches[0].kind == TOUCH_SUBTREE);
    cr_assert(slice_equal(touches[0].key, key_slice(&key)));
    cr_assert_gt(number, serial);
    serial = number;
    tell('I');
}

static void on_lease_lost(void *cookie)
{
    tell('L');
    call_cancel(victim);
    victim = NULL;
}

static void on_ping(void *cookie, int error)
{
    cr_assert_eq(error, 0);
    tell('P');
}

/* R: a leased page; U: one without a lease. */
static void on_pages(void *cookie, int error, const struct call_pages *pages)
{
    cr_assert_eq(error, 0);
    tell(pages->pages[0].lease ? 'R' : 'U');
}

static struct call *read_leased(void)
{
    struct call_read_args args = {.parent = key_slice(&key), .lease = true, .onward = true};
    return call_read(client, &args, on_pages, NULL);
}

/* Running */

static void set_flag(void *cookie)
{
    *(bool *)cookie = true;
}

static void pass(uint64_t time)
{
    bool passed = false;
    loop_timer(loop, time, set_flag, &passed);
    while (!passed)
        cr_assert(world_step(world));
}

#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        bool late = false;                                                                         \
        struct loop_event *guard = loop_timer(loop, 60 * LOOP_SEC, set_flag, &late);               \
        while (!(cond)) {                                                                          \
            cr_assert(!late && world_step(world), "never: " #cond);                                    \
        }                                                                                          \
        loop_cancel(loop, guard);                                                                  \
    } while (0)

/* The next frame must be of this type; its payload goes to *payload (caller frees) unless NULL. */
static uint64_t expect(uint16_t type, struct slice *payload)
{
    UNTIL(frames);
    struct got *got = frames;
    uint64_t id = got->id;
    cr_assert_eq(got->type, type, "type %d, not %d", got->type, type);
    if (payload)
        *payload = got->payload;
    else
        free((void *)got->payload.data);
    if (!(frames = got->next))
        frames_end = &frames;
    free(got);
    return id;
}

static void expect_story(const char *text)
{
    UNTIL(story.len >= strlen(text));
    cr_assert(slice_equal(buf_slice(&story), slice_str(text)), "%.*s, not %s", (int)story.len,
              (const char *)story.data, text);
}

static void greet(void)
{
    send_welcome(expect(MSG_HELLO, NULL));
    UNTIL(client_state(client) == CLIENT_NORMAL);
}

static void start(void)
{
    client = client_new(loop, &process->network, &config);
    greet();
}

static void setup(void)
{
    char *why;
    world = world_new(1, false);
    process = process_new(world, "test", 0);
    loop = &process->loop;
    cr_assert_eq(key_global(&key, slice_str("A")), 0);
    network_listen(&process->network, "server", on_accept, NULL, &listener, &why);
    config = (struct client_config){.address = "server",
                                    .namespace = "N",
                                    .reconnect = true,
                                    .invalidate = on_invalidate,
                                    .lease_lost = on_lease_lost,
                                    .state = on_state};
}

TestSuite(net_lease, .init = setup);

/* What a page is got for, so that there is something to lose. */
static void hold_page(void)
{
    read_leased();
    send_page(expect(MSG_READ, NULL), 5);
    expect_story("R");
    buf_clear(&story);
}

/* Counted from when the newest request with an answer was sent. */
Test(net_lease, end)
{
    const uint64_t valid = 10 * LOOP_SEC - 10 * LOOP_MS - 500 * LOOP_MS;
    client = client_new(loop, &process->network, &config);
    cr_assert_eq(client_lease_end(client), 0);
    UNTIL(client_state(client) == CLIENT_GREETING);
    uint64_t greeted = loop_now(loop);
    pass(LOOP_SEC);
    cr_assert_eq(client_lease_end(client), 0);
    greet();
    cr_assert_eq(client_lease_end(client), greeted + valid);
    uint64_t older = loop_now(loop);
    call_ping(client, on_ping, NULL);
    uint64_t ping = expect(MSG_PING, NULL);
    pass(LOOP_SEC);
    uint64_t newer = loop_now(loop);
    read_leased();
    uint64_t read = expect(MSG_READ, NULL);
    pass(LOOP_SEC);
    cr_assert_eq(client_lease_end(client), greeted + valid, "sending renews nothing");
    send_page(read, 5);
    expect_story("R");
    cr_assert_eq(client_lease_end(client), newer + valid);
    send_bytes(MSG_PONG, ping, slice_of(NULL, 0));
    expect_story("RP");
    cr_assert_eq(client_lease_end(client), newer + valid, "never taken back");
    cr_assert_lt(older, newer);
}

/* The term is short and the way long: an idle client still never loses its lease. */
Test(net_lease, kept_while_idle)
{
    term_ms = 1000;
    start();
    hold_page();
    cr_assert_leq(client_lease_end(client), loop_now(loop) + 874 * LOOP_MS);
    for (int i = 0; i < 100; i++) {
        uint64_t before = client_lease_end(client), ping = expect(MSG_PING, NULL);
        pass(400 * LOOP_MS);
        send_bytes(MSG_PONG, ping, slice_of(NULL, 0));
        UNTIL(client_lease_end(client) > before);
        cr_assert_gt(before, loop_now(loop));
    }
    cr_assert_eq(story.len, 0, "nothing was lost");
}

/* Frames of the server are no answers: they do not renew, and do not keep the client from asking.*/
Test(net_lease, only_answers_renew)
{
    start();
    uint64_t before = client_lease_end(client);
    for (uint64_t i = 1; i < 8; i++) {
        send_invalidate(i);
        pass(LOOP_SEC);
        client_invalidated(client, serial);
    }
    cr_assert_eq(client_lease_end(client), before);
    expect(MSG_INVALIDATED, NULL);
    expect(MSG_INVALIDATED, NULL);
    expect(MSG_INVALIDATED, NULL);
    expect(MSG_PING, NULL);
}

/* Nobody looked while the lease had run out: what was got before is dropped before it is renewed.
 */
Test(net_lease, gap)
{
    start();
    hold_page();
    expect(MSG_PING, NULL); /* never answered */
    UNTIL(client_lease_end(client) <= loop_now(loop));
    call_ping(client, on_ping, NULL);
    send_bytes(MSG_PONG, expect(MSG_PING, NULL), slice_of(NULL, 0));
    expect_story("LP");
    cr_assert_gt(client_lease_end(client), loop_now(loop));
    pass(10 * LOOP_SEC);
    call_ping(client, on_ping, NULL);
    send_bytes(MSG_PONG, expect(MSG_PING, NULL), slice_of(NULL, 0));
    expect_story("LPP");
}

/* A page that was under way when its lease ran out may be used but not be kept. */
Test(net_lease, page_too_late)
{
    start();
    read_leased();
    uint64_t read = expect(MSG_READ, NULL);
    UNTIL(client_lease_end(client) <= loop_now(loop));
    send_page(read, 5);
    expect_story("U");
}

Test(net_lease, lost_cancels_the_answered_call)
{
    start();
    hold_page();
    UNTIL(client_lease_end(client) <= loop_now(loop));
    expect(MSG_PING, NULL);
    victim = read_leased();
    send_page(expect(MSG_READ, NULL), 6);
    expect_story("L");
    answer_pings = true;
    call_ping(client, on_ping, NULL);
    expect_story("LP");
}

Test(net_lease, invalidations_in_order)
{
    start();
    read_leased();
    read_leased();
    uint64_t first = expect(MSG_READ, NULL), second = expect(MSG_READ, NULL);
    send_invalidate(3);
    send_page(first, 5);
    send_invalidate(7);
    send_page(second, 6);
    send_invalidate(8);
    expect_story("IRIRI");
    client_invalidated(client, serial);
    cr_assert_eq(expect(MSG_INVALIDATED, NULL), 8);
}

Test(net_lease, resume)
{
    struct slice payload;
    struct msg_hello hello;
    start();
    hold_page();
    for (int i = 0; i < 2; i++) {
        uint64_t end = client_lease_end(client), id;
        drop_peer();
        UNTIL(client_state(client) == CLIENT_CONNECTING);
        cr_assert_eq(lease_end_when_lost, end, "reads from memory may go on");
        cr_assert_eq(story.len, 0);
        id = expect(MSG_HELLO, &payload);
        cr_assert_eq(msg_get_hello(payload, &hello), 0);
        cr_assert_eq(hello.resume_session, session);
        cr_assert_eq(hello.resume_secret, session * 7);
        free((void *)payload.data);
        keep_session = i == 0;
        send_welcome(id);
        UNTIL(client_state(client) == CLIENT_NORMAL);
        expect_story(keep_session ? "" : "L");
        cr_assert_gt(client_lease_end(client), loop_now(loop));
        buf_clear(&story);
    }
}

/* The window is far shorter than the lease, and the client has asked for nothing when it begins. */
Test(net_lease, resumed_after_idleness)
{
    struct slice payload;
    struct msg_hello hello;
    term_ms = 300000;
    recovery_ms = 60000;
    answer_pings = keep_session = true;
    start();
    for (int i = 0; i < 10; i++) {
        pass(95 * LOOP_SEC + i * LOOP_SEC);
        drop_peer();
        uint64_t id = expect(MSG_HELLO, &payload);
        cr_assert_eq(msg_get_hello(payload, &hello), 0);
        cr_assert_eq(hello.resume_session, session);
        free((void *)payload.data);
        send_welcome(id);
        UNTIL(client_state(client) == CLIENT_NORMAL);
    }
}

/* The recovery window may end between HELLO and WELCOME: the session must not come to life again. */
Test(net_lease, resumed_too_late)
{
    struct slice payload;
    struct msg_hello hello;
    config.connect_timeout = 100 * LOOP_SEC;
    start();
    drop_peer();
    uint64_t id = expect(MSG_HELLO, &payload);
    cr_assert_eq(msg_get_hello(payload, &hello), 0);
    cr_assert_eq(hello.resume_session, session);
    free((void *)payload.data);
    pass(65 * LOOP_SEC);
    keep_session = true;
    send_welcome(id);
    keep_session = false;
    UNTIL(client_state(client) == CLIENT_CONNECTING);
    id = expect(MSG_HELLO, &payload);
    cr_assert_eq(msg_get_hello(payload, &hello), 0);
    cr_assert_eq(hello.resume_session, 0);
    free((void *)payload.data);
    send_welcome(id);
    UNTIL(client_state(client) == CLIENT_NORMAL);
}

/* The next session's serial numbers begin anew, and an answer to an old one is none to them. */
Test(net_lease, serials_of_an_earlier_session)
{
    start();
    send_invalidate(1);
    expect_story("I");
    uint64_t old = serial;
    drop_peer();
    UNTIL(client_state(client) == CLIENT_CONNECTING);
    client_invalidated(client, old);
    greet();
    client_invalidated(client, old);
    send_invalidate(1);
    expect_story("ILI");
    client_invalidated(client, old);
    client_invalidated(client, serial);
    call_ping(client, on_ping, NULL);
    cr_assert_eq(expect(MSG_INVALIDATED, NULL), 1);
    expect(MSG_PING, NULL);
}

Test(net_lease, without_a_cache)
{
    struct slice payload;
    struct msg_read read;
    config.invalidate = NULL;
    start();
    read_leased();
    expect(MSG_READ, &payload);
    cr_assert_eq(msg_get_read(payload, &read), 0);
    cr_assert(!read.lease && read.onward);
    free((void *)payload.data);
    send_invalidate(9);
    cr_assert_eq(expect(MSG_INVALIDATED, NULL), 9);
}

Test(net_lease, release)
{
    uint64_t leases[10000], lease, next = 1;
    for (uint64_t i = 0; i < 10000; i++)
        leases[i] = i + 1;
    start();
    client_release(client, leases, 0);
    client_release(client, leases, 10000);
    while (next <= 10000) {
        struct slice payload;
        cr_assert_eq(expect(MSG_RELEASE, &payload), 0);
        struct reader r = reader_of(payload);
        while (msg_get_release(&r, &lease) == 0)
            cr_assert_eq(lease, next++);
        cr_assert(reader_at_end(&r));
        free((void *)payload.data);
    }
}

static void expect_cut_off(void)
{
    UNTIL(lost_error);
    cr_assert_eq(lost_error, ECP_EPROTO);
}

Test(net_lease, serial_does_not_rise)
{
    config.reconnect = false;
    start();
    send_invalidate(5);
    send_invalidate(5);
    expect_cut_off();
    expect_story("IL");
}

Test(net_lease, serial_zero)
{
    config.reconnect = false;
    start();
    send_invalidate(0);
    expect_cut_off();
}

Test(net_lease, touches_nothing)
{
    config.reconnect = false;
    start();
    send_bytes(MSG_INVALIDATE, 1, slice_of(NULL, 0));
    expect_cut_off();
}
