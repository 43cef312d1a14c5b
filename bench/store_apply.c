/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelined updates through store_apply: applied and durable per second, memory, KILL, replay. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/event.h"
#include "store/engine_lmdb.h"
#include "store/io.h"
#include "store/store.h"

#define DEPTH 4096

struct bench {
    struct loop *loop;
    struct store *store;
    const char *directory;
    uint64_t count, given, done, keyspace;
    bool random;
    uint64_t seed;
    struct slot {
        struct bench *bench;
        struct key key;
        struct update update;
    } slots[DEPTH];
    double latest;
    int pending;
};

static double clock_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double seconds(void)
{
    return clock_seconds(CLOCK_MONOTONIC);
}

static size_t resident(void)
{
    size_t pages = 0, skip;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%zu %zu", &skip, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void stop(void *cookie)
{
    struct bench *b = cookie;
    event_loop_stop(b->loop);
}

static void open_store(struct bench *b)
{
    struct store_options options = {.io = io_posix(),
                                    .directory = b->directory,
                                    .journal_bytes = UINT64_C(1) << 30,
                                    .overlay_bytes = UINT64_C(64) << 20};
    struct engine *engine;
    char *why = NULL;
    if (getenv("OVERLAY"))
        options.overlay_bytes = strtoull(getenv("OVERLAY"), NULL, 10) << 20;
    b->loop = event_loop_new();
    double start = seconds();
    if (engine_lmdb_open(b->directory, UINT64_C(64) << 30, &engine, &why) ||
        store_open(b->loop, engine, &options, &b->store, &why)) {
        fprintf(stderr, "%s\n", why ? why : "cannot open");
        exit(1);
    }
    printf("open                %10.1f ms\n", (seconds() - start) * 1e3);
}

static void close_store(struct bench *b)
{
    double start = seconds();
    store_close(b->store, stop, b);
    event_loop_run(b->loop);
    event_loop_free(b->loop);
    printf("close               %10.1f ms\n", (seconds() - start) * 1e3);
}

static void give(struct slot *s);

static void applied(void *cookie, const struct store_result *r)
{
    struct slot *s = cookie;
    struct bench *b = s->bench;
    if (r->error) {
        fprintf(stderr, "%s\n", error_text(r->error));
        exit(1);
    }
    b->done++;
    if (b->given < b->count)
        give(s);
    else if (b->done == b->count)
        event_loop_stop(b->loop);
}

static void give(struct slot *s)
{
    static const char value[50] = "a value of fifty bytes, as in other benchmarks ...";
    struct bench *b = s->bench;
    char text[24];
    uint64_t n = b->given++;
    if (b->random) {
        b->seed = b->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        n = (b->seed >> 20) % b->keyspace;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n + 1);
    key_global(&s->key, slice_str("K"));
    key_append(&s->key, slice_str(text));
    s->update = (struct update){
        .kind = UPDATE_SET, .key = key_slice(&s->key), .value = slice_of(value, sizeof(value))};
    store_apply(b->store, &s->update, 1, (struct store_source){1, n}, applied, s);
}

static void synced(void *cookie, int error)
{
    event_loop_stop(((struct bench *)cookie)->loop);
}

static void sets(struct bench *b, const char *what, bool random, uint64_t count, uint64_t keyspace)
{
    b->random = random;
    b->count = count;
    b->keyspace = keyspace;
    b->given = b->done = 0;
    size_t before = resident();
    double start = seconds(), cpu = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < DEPTH && b->given < count; i++) {
        b->slots[i].bench = b;
        give(&b->slots[i]);
    }
    event_loop_run(b->loop);
    double took = seconds() - start;
    cpu = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    store_sync(b->store, synced, b);
    event_loop_run(b->loop);
    printf("%-20s%10.0f applied/s, %10.0f durable/s, %.0f ns of the loop's CPU each, %+.1f MiB\n",
           what, (double)count / took, (double)count / (seconds() - start),
           cpu * 1e9 / (double)count, ((double)resident() - (double)before) / 1048576);
}

static void killed(void *cookie, const struct store_result *r)
{
    struct bench *b = cookie;
    b->latest = seconds();
    event_loop_stop(b->loop);
}

static void kill_all(struct bench *b)
{
    struct key k;
    key_global(&k, slice_str("K"));
    struct update u = {.kind = UPDATE_KILL, .key = key_slice(&k)};
    double start = seconds();
    store_apply(b->store, &u, 1, (struct store_source){0}, killed, b);
    event_loop_run(b->loop);
    printf("KILL                %10.3f ms\n", (b->latest - start) * 1e3);
}

int main(int argc, char **argv)
{
    struct bench *b = calloc(1, sizeof(*b));
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    if (argc < 2) {
        fprintf(stderr, "usage: store_apply DIRECTORY [COUNT [open|leave|kill]]\n");
        return 2;
    }
    b->directory = argv[1];
    b->seed = 1;
    open_store(b);
    if (argc > 3 && strcmp(argv[3], "open") == 0) {
        close_store(b);
        return 0;
    }
    sets(b, "SET sorted", false, count, count);
    if (argc <= 3 || strcmp(argv[3], "kill") != 0) {
        sets(b, "SET sorted again", false, count, count);
        sets(b, "SET random", true, count, count);
        sets(b, "SET random of 100000", true, count, 100000);
    }
    if (argc > 3 && strcmp(argv[3], "leave") == 0)
        _exit(0);
    kill_all(b);
    close_store(b);
    free(b);
    return 0;
}
