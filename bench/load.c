/* SPDX-License-Identifier: Apache-2.0 */
/* What load programs share. */
#include "bench/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "bench/timing.h"
#include "net/event.h"

const struct slice load_value = {
    .data = (const uint8_t *)"a value of fifty bytes, as in other benchmarks ...", .len = 50};

void load_fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, error_text(error));
    exit(1);
}

/* ---- sessions ---- */

static void connect_next(void *cookie);

static void state_changed(void *cookie, enum client_state state, int error, const char *why)
{
    struct load_session *s = cookie;

    if (state == CLIENT_LOST)
        load_fail(why ? why : "a session", error);
    if (state == CLIENT_NORMAL)
        loop_soon(s->load->loop, connect_next, s->load);
}

static void connect_next(void *cookie)
{
    struct load *l = cookie;
    struct load_session *s = &l->session[l->connected];
    struct client_config config = {.address = l->address,
                                   .namespace = "USER",
                                   .program = "bench",
                                   .invalidate = l->invalidate,
                                   .lease_lost = l->lease_lost,
                                   .state = state_changed,
                                   .cookie = s};

    if (l->connected == l->count) {
        l->ready(l);
        return;
    }
    l->connected++;
    s->load = l;
    s->client = client_new(l->loop, l->network, &config);
    if (l->prepare)
        l->prepare(s);
}

void load_open(struct load *l, const char *program, const char *address, unsigned count)
{
    log_open(program, false, LOG_LEVEL_WARNING);
    l->address = address;
    l->count = count;
    l->session = xcalloc(count, sizeof(*l->session));
    l->loop = event_loop_new();
    l->network = event_network_new(l->loop);
}

void load_run(struct load *l)
{
    connect_next(l);
    event_loop_run(l->loop);
}

void load_close(struct load *l)
{
    for (unsigned i = 0; i < l->count; i++)
        client_free(l->session[i].client);
    event_loop_finish(l->loop, LOOP_SEC);
    event_network_free(l->network);
    event_loop_free(l->loop);
    free(l->session);
}

/* ---- keys, options ---- */

/* By hand: printf would be most of what a load costs. */
void load_key(struct key *key, const char *global, uint64_t number)
{
    char text[20], *at = text + sizeof(text);

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    key_global(key, slice_str(global));
    key_append(key, slice_of(at, (size_t)(text + sizeof(text) - at)));
}

uint64_t load_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 20;
}

void load_options(char **argv, const struct load_option *options, size_t count, const char *usage)
{
    for (; argv[0]; argv += 2) {
        size_t k = 0;
        char *end = NULL;
        while (k < count && strcmp(argv[0], options[k].name) != 0)
            k++;
        if (k < count && argv[1])
            *options[k].value = strtoull(argv[1], &end, 10);
        if (!end || end == argv[1] || *end) {
            fprintf(stderr, "usage: %s\n", usage);
            exit(2);
        }
    }
}

/* ---- processes, times ---- */

uint64_t load_resident(int pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1)
            break;
    }
    if (file)
        fclose(file);
    return kib * 1024;
}

uint64_t load_cpu(int pid)
{
    char path[64];
    uint64_t user = 0, system = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    file = fopen(path, "r");
    if (file) {
        if (fscanf(file,
                   "%*d (%*[^)]) %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64,
                   &user, &system) != 2)
            user = system = 0;
        fclose(file);
    }
    return (user + system) * (LOOP_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

void load_percentiles(const char *prefix, uint64_t *times, size_t count)
{
    sort_times(times, count);
    if (count)
        printf("%s-p50 %" PRIu64 "\n%s-p99 %" PRIu64 "\n%s-p999 %" PRIu64 "\n", prefix,
               times[count / 2], prefix, times[count * 99 / 100], prefix,
               times[count * 999 / 1000]);
}
