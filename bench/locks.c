/* SPDX-License-Identifier: Apache-2.0 */
/* Times flock(2) on files: pairs of lock and unlock, or how a lock goes from process to process. */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/timing.h"

/* Nanoseconds for a pair: the median of rounds. */
static void pairs(const char *file, unsigned count)
{
    enum { ROUNDS = 11 };
    uint64_t times[ROUNDS];
    int fd = open(file, O_RDWR);

    must(fd, file);
    for (int r = 0; r < ROUNDS; r++) {
        uint64_t begin = now();
        for (unsigned i = 0; i < count; i++) {
            must(flock(fd, LOCK_EX), "flock");
            must(flock(fd, LOCK_UN), "flock");
        }
        times[r] = (now() - begin) / count;
    }
    sort_times(times, ROUNDS);
    printf("pair %llu\n", (unsigned long long)times[ROUNDS / 2]);
}

/* What the processes that take turns share. */
struct turns {
    volatile uint64_t released; /* when the last holder began to unlock */
    volatile int last;          /* which one that was */
    volatile size_t count;
    uint64_t times[];
};

static void take_turns(const char *file, int self, size_t want, struct turns *t)
{
    int fd = open(file, O_RDWR);

    must(fd, file);
    while (t->count < want) {
        must(flock(fd, LOCK_EX), "flock");
        uint64_t got = now();
        if (t->last != self && t->released && t->count < want)
            t->times[t->count++] = got - t->released;
        usleep(500); /* the other one is waiting when this one is done */
        t->last = self;
        t->released = now();
        must(flock(fd, LOCK_UN), "flock");
        usleep(100);
    }
}

/* From the begin of an unlock to the lock of the process that waited. */
static void handover(const char *one, const char *two, size_t want)
{
    struct turns *t = mmap(NULL, sizeof(*t) + want * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child;

    t->last = -1;
    must(child = fork(), "fork");
    take_turns(child ? one : two, child ? 0 : 1, want, t);
    if (!child)
        _exit(0);
    waitpid(child, NULL, 0);
    sort_times(t->times, want);
    printf("handover-p50 %llu\nhandover-p99 %llu\n", (unsigned long long)t->times[want / 2],
           (unsigned long long)t->times[want * 99 / 100]);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "pairs") == 0)
        pairs(argv[2], (unsigned)atoi(argv[3]));
    else if (argc == 5 && strcmp(argv[1], "handover") == 0)
        handover(argv[2], argv[3], (size_t)atoi(argv[4]));
    else
        return 2;
    return 0;
}
