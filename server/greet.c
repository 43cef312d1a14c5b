/* SPDX-License-Identifier: Apache-2.0 */
/* HELLO and WELCOME: a new session, or one that goes on over a new connection. */
#include <stdlib.h>
#include "base/log.h"
#include "server/batch.h"
#include "server/former.h"
#include "server/locks.h"
#include "server/replay.h"

/* It has not had the WELCOME of this server yet. */
static bool is_from_before(const struct session *session, const struct msg_hello *hello)
{
    return hello->instance && hello->instance != server_instance(session->server);
}

/* A client that comes from before the start learns from where on it is to send again what it has. */
static void welcome(struct session *session, const struct msg_hello *hello, uint16_t version)
{
    struct buf out = {0};
    struct msg_welcome m = {
        .version = version,
        .session = session->id,
        .secret = session->secret,
        .instance = server_instance(session->server),
        .lease_ms = (uint32_t)(session->term / LOOP_MS),
        .recovery_ms = (uint32_t)(server_limits(session->server)->recovery_time / LOOP_MS),
        .received = session->resend.got,
        .server = slice_str("ecpd " PACKAGE_VERSION),
        .retain = session->retains,
        .replay = session->recovered && hello->retains && is_from_before(session, hello),
        .last = session->last_sequence,
    };
    size_t mark = frame_begin(&out, MSG_WELCOME, session->hello_id);

    msg_put_welcome(&out, &m);
    frame_end(&out, mark);
    resend_again(&session->resend, &out);
    session_send(session, &out);
    buf_free(&out);
}

/* Answers the HELLO with an error, logs one line and ends the session. */
static void refuse(struct session *session, int error, char *text)
{
    log_notice("%s: session refused: %s", session->peer, text);
    session_send_error(session, session->hello_id, error, 0, text);
    session_end(session, true);
    free(text);
}

static uint64_t random_nonzero(struct loop *loop)
{
    uint64_t r;

    do
        r = loop_random(loop);
    while (!r);
    return r;
}

/* The highest version that both speak; 0 when there is none. */
static uint16_t choose_version(const struct msg_hello *m)
{
    uint16_t version = m->version_max < PROTOCOL_MAX ? m->version_max : PROTOCOL_MAX;

    return version < m->version_min || version < PROTOCOL_MIN ? 0 : version;
}

static void refuse_version(struct session *session, const struct msg_hello *m)
{
    const char *older = m->version_max < PROTOCOL_MIN ? "client" : "server";
    char *text = xasprintf("protocol versions %u to %u offered, this server speaks %u to %u; "
                           "upgrade the %s",
                           m->version_min, m->version_max, PROTOCOL_MIN, PROTOCOL_MAX, older);

    refuse(session, ECP_EVERSION, text);
}

static void begin(struct session *session, const struct msg_hello *m, uint16_t version)
{
    session->term = server_limits(session->server)->lease_time;
    session->resumes = m->flags & MSG_HELLO_RESUMES;
    session->retains =
        m->retains && session->resumes && !store_tells_durable(session->namespace->store);
    if (!m->resume_session || !former_resume(session->namespace->backend->formers, session,
                                             m->resume_session, m->resume_secret)) {
        session->id = random_nonzero(session->loop);
        session->secret = random_nonzero(session->loop);
    }
    session->program =
        xasprintf("%.*s", (int)m->program.len, m->program.len ? (const char *)m->program.data : "");
    session_connected(session);
    if (session->replaying && !m->retains)
        serve_replayed(session, NULL);
    welcome(session, m, version);
    log_info("%s: session of %s, namespace %s%s", session->peer, session->program,
             session->namespace->name, session->recovered ? ", from before the restart" : "");
}

/* The session goes on over the connection of `via`, which ends. */
static void resume(struct session *session, struct session *via, const struct msg_hello *m,
                   uint16_t version)
{
    if (session->state == SESSION_NORMAL)
        session_away(session); /* its connection is dead, but we have not noticed */
    session->hello_id = via->hello_id;
    session->conn = session_hand_over(via);
    conn_set_cookie(session->conn, session);
    server_session_connected(session->server, session);
    if (resend_had(&session->resend, is_from_before(session, m) ? 0 : m->received)) {
        session_connected(session);
        session_cut(session, ECP_EPROTO, "the client has received what was not sent");
        return;
    }
    session_connected(session);
    if (session->holder)
        lease_heard(session->holder, conn_last_heard(session->conn));
    welcome(session, m, version);
    log_info("%s: session of %s goes on", session->peer, session->program);
    lock_seat_back(session); /* may end it */
}

void session_greet(struct session *session, const struct frame *frame)
{
    struct session *former;
    struct msg_hello m;
    uint16_t version;

    if (frame->type != MSG_HELLO || msg_get_hello(frame->payload, &m) != 0) {
        session_cut(session, ECP_EPROTO, "the first frame is no well-formed HELLO");
        return;
    }
    session->hello_id = frame->id;
    version = choose_version(&m);
    if (!version) {
        refuse_version(session, &m);
        return;
    }
    session->namespace = server_namespace(session->server, m.namespace);
    if (!session->namespace) {
        refuse(session, ECP_ENAMESPACE,
               xasprintf("no namespace \"%.*s\" here",
                         (int)(m.namespace.len < 64 ? m.namespace.len : 64),
                         m.namespace.len ? (const char *)m.namespace.data : ""));
        return;
    }
    former = m.resume_session ? server_find_session(session->server, m.resume_session) : NULL;
    if (former && former->secret == m.resume_secret && former->namespace == session->namespace)
        resume(former, session, &m, version);
    else
        begin(session, &m, version);
}
