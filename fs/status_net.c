/* SPDX-License-Identifier: Apache-2.0 */
/* The mount's .ecp/status: how its session is, and what is not yet with the server. */
#include "fs/status_net.h"

#include <inttypes.h>
#include <time.h>

#include "net/call.h"

static void put_time(struct buf *out, uint64_t ns)
{
    time_t seconds = (time_t)(ns / LOOP_SEC);
    char text[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_printf(out, "since %s\n", text);
}

static void unsent_lines(struct fs *fs, struct buf *out)
{
    struct inode *in;
    size_t files = 0, bytes = 0;

    LIST_FOREACH (in, &fs->unsent, unsent) {
        files += content_unsent(in);
        bytes += content_unsent_bytes(in);
    }
    buf_printf(out, "unsent_files %zu\nunsent_bytes %zu\n", files, bytes);
}

void status_lines(void *cookie, struct buf *out)
{
    const struct status *status = cookie;
    struct client_status s;

    client_status(status->client, &s);
    buf_printf(out, "state %s\n", s.state);
    put_time(out, s.since);
    buf_printf(out, "url %s\nserver %s\nsession %016" PRIx64 "\n", status->url, s.server,
               s.session);
    buf_printf(out, "lease_ms %" PRIu64 "\nrecovery_ms %" PRIu64 "\ntries %" PRIu64 "\n",
               s.lease / LOOP_MS, s.recovery / LOOP_MS, s.tries);
    buf_printf(out, "updates_pending %zu\nupdate_bytes_pending %zu\n", s.updates, s.update_bytes);
    unsent_lines(status->fs, out);
    buf_printf(out, "waits %s\n",
               status->fs->failing ? "failing"
               : status->fs->timeo ? "soft"
                                   : "hard");
    if (*s.error)
        buf_printf(out, "last_error %s\n", s.error);
}
