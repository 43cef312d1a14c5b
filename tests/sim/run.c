/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's program: runs seeds; one that fails is told with the command that repeats it. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mutation.h"
#include "tests/sim/mutations.h"
#include "tests/sim/scene.h"

static volatile uint64_t seed_now;

/* An assertion, or an own fault, in what is simulated. */
static void died(int number)
{
    char text[96];
    int n = snprintf(text, sizeof(text), "to repeat it: tests/sim/run --seed %llu --verbose\n",
                     (unsigned long long)seed_now);
    if (write(STDERR_FILENO, text, (size_t)n) != n)
        _exit(2);
    signal(number, SIG_DFL);
    raise(number);
}

static int usage(void)
{
    fputs("usage: run [--seeds N] [--from S] | --seed S [--verbose]\n"
          "  --seeds N     runs seeds S, S + 1, ..., N of them (default 100)\n"
          "  --from S      the first (default 1)\n"
          "  --seed S      that seed, twice: both times the same must happen\n"
          "  --verbose     once, telling every event\n"
          "  --mutation N  with a deliberate fault in what is simulated (base/mutation.h)\n"
          "  --mutations   with each of them, until it is found\n",
          stderr);
    return 2;
}

static int run_one(uint64_t seed, bool verbose)
{
    uint64_t digest;
    seed_now = seed;
    digest = scene_run(seed, verbose);
    if (!verbose && scene_run(seed, false) != digest) {
        fprintf(stderr, "seed %llu does not repeat itself\n", (unsigned long long)seed);
        return 1;
    }
    printf("seed %llu: digest %016llx\n", (unsigned long long)seed, (unsigned long long)digest);
    return 0;
}

static void run_quietly(uint64_t seed)
{
    seed_now = seed;
    scene_run(seed, false);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seeds", required_argument, NULL, 'n'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"mutation", required_argument, NULL, 'm'},
                                            {"mutations", no_argument, NULL, 'a'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {0}};
    uint64_t count = 100, from = 1, one = 0;
    bool verbose = false, mutations = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'n')
            count = strtoull(optarg, NULL, 10);
        else if (c == 'f')
            from = strtoull(optarg, NULL, 10);
        else if (c == 's')
            one = strtoull(optarg, NULL, 10);
        else if (c == 'm')
            ecp_mutation = atoi(optarg);
        else if (c == 'a')
            mutations = true;
        else if (c == 'v')
            verbose = true;
        else
            return usage();
    }
    log_set_level(verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_NONE);
    signal(SIGABRT, died);
    signal(SIGSEGV, died);
    if (one)
        return run_one(one, verbose);
    if (mutations)
        return mutations_run(from, count, run_quietly) != 0;
    for (uint64_t seed = from; seed < from + count; seed++)
        run_quietly(seed);
    printf("%llu seeds from %llu: no fault found\n", (unsigned long long)count,
           (unsigned long long)from);
    return 0;
}
