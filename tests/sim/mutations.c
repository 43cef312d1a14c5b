/* SPDX-License-Identifier: Apache-2.0 */
/* Deliberate faults (base/mutation.h): each is switched on in turn, and must be found. */
#include "tests/sim/mutations.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mutation.h"
#include "net/conn.h"

int ecp_mutation;

static const char *const names[MUTATION_END] = {
    [MUTATION_REORDER] = "frames are reordered",
    [MUTATION_OWN] = "APPLIED's touches are not laid on",
    [MUTATION_BAR] = "own updates under way are ignored",
    [MUTATION_BAR_ABOVE] = "and so they are in the kernel",
    [MUTATION_NO_WAIT] = "updates do not wait for acknowledgements",
    [MUTATION_NO_LAPSE] = "leases that ran out are waited for",
    [MUTATION_IN_FLIGHT] = "leases while an update is under way",
    [MUTATION_NOBODY] = "leases while one that asks nobody is under way",
    [MUTATION_EARLY] = "acknowledged before the kernel was told",
    [MUTATION_UNKNOWN] = "acknowledged before the kernel knew the node",
    [MUTATION_NO_END] = "the client's lease does not end",
    [MUTATION_FROM_ANSWER] = "lease counted from the answer",
    [MUTATION_GAP] = "a gap between leases is not noticed",
    [MUTATION_OVERTAKE] = "updates of a session overtake each other",
    [MUTATION_JOINER] = "late joiners take an answer without lease",
    [MUTATION_RELEASE] = "an evicted page's lease goes back at once",
    [MUTATION_ABSENT] = "absence outlives a touch",
    [MUTATION_ANCESTORS] = "ancestors are not touched",
    [MUTATION_SUBTREE] = "subtrees are not touched",
    [MUTATION_GRACE] = "no grace after a restart",
    [MUTATION_NO_RESEND] = "what was lost with a connection is not sent again",
    [MUTATION_OLD_TIME] = "a directory's time goes back",
    [MUTATION_RECLAIM] = "pages taken back for want of room are kept",
    [MUTATION_LOCK_EARLY] = "a lock passes before it is durable",
    [MUTATION_LOCK_FREE] = "locks are free without a connection",
    [MUTATION_LOCK_LOST] = "lost locks are not told",
    [MUTATION_LOCK_GRACE] = "no grace for locks after a restart",
    [MUTATION_TWICE] = "updates sent again are applied again",
    [MUTATION_FORGET] = "checkpoints forget the sessions",
    [MUTATION_NO_TRACE] = "answered before the session is on disk",
    [MUTATION_NO_REPLAY] = "retained batches are not sent again",
    [MUTATION_REPLAY_ORDER] = "replayed in the order of arrival",
    [MUTATION_REPLAY_READ] = "reads do not wait for what is replayed",
    [MUTATION_ACK_EARLY] = "acknowledged before it is durable",
    [MUTATION_SYNC_EARLY] = "what is only written counts as durable",
    [MUTATION_SYNC_AGAIN] = "a failed sync is tried again",
    [MUTATION_UNSETTLED] = "what a failed sync left is taken for durable",
    [MUTATION_NEXT] = "a segment is not synced before the next",
    [MUTATION_AHEAD] = "a checkpoint is ahead of the journal",
    [MUTATION_POSITION] = "the position goes with the first transaction",
    [MUTATION_PURGE] = "the journal is purged before the checkpoint",
    [MUTATION_SKIP] = "recovery skips a record",
    [MUTATION_TORN] = "recovery goes on behind a torn record",
    [MUTATION_HALF] = "recovery takes a torn record for good",
    [MUTATION_UNPROVEN] = "replayed into the base before it is on disk",
    [MUTATION_STAMP] = "stamps go back with the clock",
    [MUTATION_REFUSED] = "what is refused for want of room is done",
    [MUTATION_NO_ROOM] = "room that is there again is not found",
};

bool mutation_holds(struct conn *conn, struct buf *frames)
{
    static struct conn *held_for;
    static struct buf held;
    static unsigned turn;
    static bool sending;
    if (held_for == conn && !sending) {
        sending = true;
        conn_send(conn, frames);
        conn_send(conn, &held);
        sending = false;
        held_for = NULL;
        return true;
    }
    if (sending || ++turn % 8)
        return false;
    buf_clear(&held);
    buf_append_slice(&held, buf_slice(frames));
    buf_clear(frames);
    held_for = conn;
    return true;
}

/* The child's output is not for people: that it fails is what is wanted. */
static bool found(uint64_t from, uint64_t count, void (*run)(uint64_t seed), uint64_t *at)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(0);
        for (*at = from; *at < from + count; ++*at)
            run(*at);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("mutations");
        exit(2);
    }
    return status != 0;
}

int mutations_run(uint64_t from, uint64_t count, void (*run)(uint64_t seed))
{
    uint64_t *at =
        mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int missed = 0;
    if (at == MAP_FAILED) {
        perror("mutations");
        return 1;
    }
    for (int m = MUTATION_NONE + 1; m < MUTATION_END; m++) {
        ecp_mutation = m;
        bool caught = found(from, count, run, at);
        missed += !caught;
        printf("%2d  %-46s ", m, names[m]);
        if (caught)
            printf("found by seed %llu\n", (unsigned long long)*at);
        else
            printf("NOT FOUND in %llu seeds\n", (unsigned long long)count);
        fflush(stdout);
    }
    munmap(at, sizeof(*at));
    return missed;
}
