/* SPDX-License-Identifier: Apache-2.0 */
/* record: processes over mounts of one namespace do random operations and write down what they see.
 */
#include "tests/coherence/ops.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define MOUNTS_MAX  16
#define POLL_US     20000
#define SEC         UINT64_C(1000000000)

static const char usage[] =
    "usage: record [options] -o DIR MOUNT...\n"
    "  -o DIR      where the records go; must be there, empty\n"
    "  -t SECONDS  how long (10)\n"
    "  -w WORKERS  processes, spread over the mounts (8)\n"
    "  -k KINDS    of r (registers), n (names), l (logs) (rnl)\n"
    "  -r NUMBER   registers (3)\n"
    "  -g NUMBER   groups of names (2)\n"
    "  -n NUMBER   names in a group, at most 8 (4)\n"
    "  -p SECONDS  longest time an operation may take (0: no bound)\n"
    "  -x NUMBER   this mount (0 is the first) is exempt from -p; may be repeated\n"
    "  -s SEED     (time)\n"
    "  -G NAME     global to work in (COHERENCE)\n"
    "Exit status: 0; 1 it could not begin; 2 an operation took longer than -p, or never ended.\n";

struct run {
    const char *out, *mounts[MOUNTS_MAX];
    unsigned mount_count, workers;
    dev_t device[MOUNTS_MAX];
    bool exempt[MOUNTS_MAX];
    uint64_t seconds, bound, seed, began;
    struct worker model;
    struct worker worker[WORKERS_MAX + 1];
    pid_t pid[WORKERS_MAX + 1];
    bool late[WORKERS_MAX + 1];
    int *stop; /* shared */
};

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
    char *rest;
    uint64_t n = strtoull(text, &rest, 10);

    if (*rest || rest == text || n < least || n > most) {
        fprintf(stderr, "record: %s: not a number from %ju to %ju\n", text, (uintmax_t)least,
                (uintmax_t)most);
        exit(1);
    }
    return n;
}

static unsigned kinds(const char *text)
{
    unsigned set = 0;

    for (; *text; text++)
        set |= *text == 'r'   ? KIND_REGISTERS
               : *text == 'n' ? KIND_NAMES
               : *text == 'l' ? KIND_LOGS
                              : 8;
    if (set == 0 || set & 8) {
        fputs(usage, stderr);
        exit(1);
    }
    return set;
}

static void parse(struct run *run, int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "o:t:w:k:r:g:n:p:x:s:G:")) != -1) {
        switch (c) {
        case 'o':
            run->out = optarg;
            break;
        case 't':
            run->seconds = number(optarg, 1, 86400);
            break;
        case 'w':
            run->workers = (unsigned)number(optarg, 1, WORKERS_MAX);
            break;
        case 'k':
            run->model.kinds = kinds(optarg);
            break;
        case 'r':
            run->model.registers = (unsigned)number(optarg, 1, REGISTERS_MAX);
            break;
        case 'g':
            run->model.groups = (unsigned)number(optarg, 1, 1000);
            break;
        case 'n':
            run->model.names = (unsigned)number(optarg, 2, NAMES_MAX);
            break;
        case 'p':
            run->bound = number(optarg, 0, 86400) * SEC;
            break;
        case 'x':
            run->exempt[number(optarg, 0, MOUNTS_MAX - 1)] = true;
            break;
        case 's':
            run->seed = number(optarg, 1, UINT64_MAX);
            break;
        case 'G':
            run->model.global = optarg;
            break;
        default:
            fputs(usage, stderr);
            exit(1);
        }
    }
    while (optind < argc && run->mount_count < MOUNTS_MAX)
        run->mounts[run->mount_count++] = argv[optind++];
    if (!run->out || !run->mount_count || optind < argc) {
        fputs(usage, stderr);
        exit(1);
    }
}

/* Processes change their directory. */
static void absolute(struct run *run)
{
    run->out = realpath(run->out, NULL);
    for (unsigned i = 0; run->out && i < run->mount_count; i++) {
        struct stat st;
        run->mounts[i] = realpath(run->mounts[i], NULL);
        if (!run->mounts[i] || stat(run->mounts[i], &st) < 0)
            run->out = NULL;
        else
            run->device[i] = st.st_dev;
    }
    if (!run->out) {
        perror("record: a directory");
        exit(1);
    }
}

static void worker_init(struct run *run, unsigned index, unsigned mount)
{
    struct worker *w = &run->worker[index];

    *w = run->model;
    w->began = run->began;
    w->random = (run->seed + index) * UINT64_C(0x9E3779B97F4A7C15) | 1;
    for (unsigned i = 0; i < REGISTERS_MAX; i++)
        w->held[i] = -1;
    recording_open(&w->log, run->out, index, mount);
}

static void work(struct run *run, unsigned index)
{
    struct worker *w = &run->worker[index];

    while (!w->gone && !__atomic_load_n(run->stop, __ATOMIC_RELAXED))
        ops_one(w);
}

/* Into a mount's root, to stay there although the mount is taken away. */
static bool enter(const char *mount, dev_t device)
{
    struct stat st;

    return chdir(mount) == 0 && stat(".", &st) == 0 && (!device || st.st_dev == device);
}

/* The last process: what each mount that is still there says in the end. */
static void finish(struct run *run)
{
    struct worker *w = &run->worker[run->workers];
    const char *dir = run->out;

    for (unsigned i = 0; i < run->mount_count; i++) {
        if (!enter(run->mounts[i], run->device[i]))
            continue;
        w->log.mount = (uint8_t)i;
        ops_final(w, dir);
        dir = NULL;
    }
}

static void start(struct run *run, unsigned index)
{
    run->pid[index] = fork();
    if (run->pid[index] < 0) {
        perror("fork");
        exit(1);
    }
    if (run->pid[index] > 0)
        return;
    if (index < run->workers && enter(run->mounts[index % run->mount_count], 0))
        work(run, index);
    else if (index == run->workers)
        finish(run);
    _exit(0);
}

static void watch(struct run *run, unsigned index)
{
    const struct worker *w = &run->worker[index];
    const struct event *event = recording_last(&w->log);
    uint64_t now = now_ns();

    if (!run->bound || run->exempt[w->log.mount] || run->late[index] || !event ||
        now < event->start + run->bound)
        return;
    run->late[index] = true;
    printf("no progress for %ju s:\n", (uintmax_t)((now - event->start) / SEC));
    event_print(event, run->began);
    fflush(stdout);
}

/* Whether processes of [first, last) still run. */
static bool running(struct run *run, unsigned first, unsigned last)
{
    bool some = false;

    for (unsigned i = first; i < last; i++) {
        if (!run->pid[i])
            continue;
        if (waitpid(run->pid[i], NULL, WNOHANG) == run->pid[i]) {
            run->pid[i] = 0;
            continue;
        }
        some = true;
        watch(run, i);
    }
    return some;
}

static void wait_for(struct run *run, unsigned first, unsigned last, uint64_t until)
{
    while (running(run, first, last) && now_ns() < until)
        usleep(POLL_US);
}

/* Whoever is still there has an operation that does not end. */
static void end_all(struct run *run, unsigned first, unsigned last)
{
    for (unsigned i = first; i < last; i++) {
        const struct event *event = recording_last(&run->worker[i].log);
        if (!run->pid[i])
            continue;
        printf("worker %u does not end\n", i);
        if (event)
            event_print(event, run->began);
        run->late[i] = run->late[i] || !run->exempt[run->worker[i].log.mount];
        kill(run->pid[i], SIGKILL);
    }
    fflush(stdout);
    wait_for(run, first, last, now_ns() + 5 * SEC);
}

static int report(const struct run *run)
{
    size_t operations = 0;
    int status = 0;

    for (unsigned i = 0; i <= run->workers; i++) {
        operations += recording_count(&run->worker[i].log);
        status |= run->late[i] ? 2 : 0;
    }
    printf("%zu operations\n", operations);
    return status;
}

int main(int argc, char **argv)
{
    static struct run run = {.workers = 8,
                             .seconds = 10,
                             .model = {.global = "COHERENCE",
                                       .kinds = KIND_REGISTERS | KIND_NAMES | KIND_LOGS,
                                       .registers = 3,
                                       .groups = 2,
                                       .names = 4,
                                       .log_turn = 4 * SEC}};
    uint64_t grace;
    int error;

    run.seed = run.began = now_ns();
    parse(&run, argc, argv);
    printf("record -s %ju\n", (uintmax_t)run.seed);
    fflush(stdout);
    run.stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run.stop == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    absolute(&run);
    for (unsigned i = 0; i < run.workers; i++)
        worker_init(&run, i, i % run.mount_count);
    worker_init(&run, run.workers, 0);
    error = enter(run.mounts[0], 0) ? 0 : errno;
    if (!error)
        error = ops_prepare(&run.worker[run.workers]);
    if (error) {
        fprintf(stderr, "record: cannot prepare %s/%s: %s\n", run.mounts[0], run.model.global,
                strerror(error));
        return 1;
    }
    for (unsigned i = 0; i < run.workers; i++)
        start(&run, i);
    wait_for(&run, 0, run.workers, now_ns() + run.seconds * SEC);
    __atomic_store_n(run.stop, 1, __ATOMIC_RELAXED);
    grace = run.bound > 30 * SEC ? run.bound : 30 * SEC;
    wait_for(&run, 0, run.workers, now_ns() + grace);
    end_all(&run, 0, run.workers);
    start(&run, run.workers);
    wait_for(&run, run.workers, run.workers + 1, now_ns() + grace);
    end_all(&run, run.workers, run.workers + 1);
    return report(&run);
}
