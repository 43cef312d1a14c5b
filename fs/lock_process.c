/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits together with whom, as far as /proc tells: for the listing of locks only. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "fs/lock.h"

#define GENERATIONS 16 /* of processes that wait for their children */

/* One line of a file of a process. Not its arguments: reading them can wait for its own faults. */
static bool read_line(pid_t pid, const char *name, char *line, size_t size)
{
    char path[48];
    FILE *f;
    bool ok;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    f = fopen(path, "re");
    ok = f && fgets(line, (int)size, f);
    if (f)
        fclose(f);
    return ok;
}

void lock_process_read(pid_t pid, struct lock_process_info *info)
{
    char line[512] = "", *begin, *end;
    int parent;

    *info = (struct lock_process_info){.command = "?"};
    if (!read_line(pid, "stat", line, sizeof(line)) || !(begin = strchr(line, '(')) ||
        !(end = strrchr(line, ')')))
        return;
    *end = '\0';
    snprintf(info->command, sizeof(info->command), "%s", begin + 1);
    if (sscanf(end + 1, " %*c %d", &parent) == 1)
        info->parent = parent;
}

/* Such a process does nothing, and lets nothing go, until its child has ended. */
static bool waits_for_child(pid_t pid)
{
    char line[64];

    return read_line(pid, "wchan", line, sizeof(line)) && strncmp(line, "do_wait", 7) == 0;
}

/* flock(1) with a descriptor of its parent locks for that, and has ended. */
static bool locks_for(const struct lock_hold *hold, pid_t pid)
{
    return hold->pid == pid || (hold->parent == pid && kill(hold->pid, 0) < 0 && errno == ESRCH);
}

uint64_t lock_process_of(struct locks *l, pid_t pid)
{
    struct lock_process_info info;
    struct lock_hold *hold;
    pid_t p = pid;

    if (!l->held)
        return (uint64_t)pid;
    for (int i = 0; i < GENERATIONS && p > 1; i++, p = info.parent) {
        if (p != pid && !waits_for_child(p))
            break;
        RB_FOREACH(hold, lock_holds, &l->holds)
        if (hold->mode != LOCK_NONE && hold->process && locks_for(hold, p))
            return hold->process;
        lock_process_read(p, &info);
    }
    return (uint64_t)pid;
}
