/* SPDX-License-Identifier: Apache-2.0 */
/* Kills a process when it changes a file: what comes after the first change of it may be missing.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/inotify.h>

#include "tests/crash/crash.h"

#define USAGE "crash_kill PID DIRECTORY BEGINNING-OF-NAME modify|create|delete SECONDS"

static uint32_t mask_of(const char *what)
{
    return strcmp(what, "modify") == 0   ? IN_MODIFY
           : strcmp(what, "create") == 0 ? IN_CREATE
           : strcmp(what, "delete") == 0 ? IN_DELETE
                                         : 0;
}

static bool happened(int fd, const char *name)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t len = read(fd, events, sizeof(events));

    if (len < 0)
        err(1, "inotify");
    for (char *at = events; at < events + len;) {
        struct inotify_event *event = (struct inotify_event *)at;
        if (event->len && strncmp(event->name, name, strlen(name)) == 0)
            return true;
        at += sizeof(*event) + event->len;
    }
    return false;
}

/* Also when it does not happen in time; the exit status tells: 3. */
int main(int argc, char **argv)
{
    int fd = inotify_init1(IN_CLOEXEC), status = 3;
    struct pollfd waited = {.fd = fd, .events = POLLIN};

    if (argc != 6 || !mask_of(argv[4]))
        errx(2, "usage: %s", USAGE);
    if (fd < 0 || inotify_add_watch(fd, argv[2], mask_of(argv[4])) < 0)
        err(1, "%s", argv[2]);
    uint64_t end = crash_now() + strtoull(argv[5], NULL, 10) * 1000000000u;
    while (crash_now() < end && status) {
        if (poll(&waited, 1, 100) > 0 && happened(fd, argv[3]))
            status = 0;
    }
    if (kill(atoi(argv[1]), SIGKILL) < 0)
        err(1, "%s", argv[1]);
    return status;
}
