/* SPDX-License-Identifier: Apache-2.0 */
/* check DIR: looks at what `record` wrote there. */
#include "tests/coherence/check.h"

#include <stdio.h>
#include <string.h>

/* Without faults no operation may end without an outcome. */
static unsigned check_no_faults(const struct history *history)
{
    unsigned found = 0;

    for (size_t i = 0; i < history->count; i++) {
        const struct event *e = &history->events[i];
        if (event_unknown(e) && found++ < 5) {
            printf("VIOLATION: an operation failed although nothing was broken\n");
            event_print(e, history->events[0].start);
        }
    }
    return found;
}

static void print_counts(const struct history *history)
{
    size_t unknown = 0, failed = 0;

    for (size_t i = 0; i < history->count; i++) {
        unknown += event_unknown(&history->events[i]);
        failed += history->events[i].error && !event_unknown(&history->events[i]);
    }
    printf("%zu operations, %zu refused, %zu without a known outcome\n", history->count, failed,
           unknown);
}

int main(int argc, char **argv)
{
    bool faults = argc > 1 && strcmp(argv[1], "-f") == 0;
    struct history history;
    unsigned violations;

    if (argc != 2 + faults) {
        fprintf(stderr, "usage: check [-f] DIR\n"
                        "  -f  there were faults: operations may have failed\n"
                        "Exit status: 0 no violation, 1 violations, 2 no history.\n");
        return 2;
    }
    if (!history_load(&history, argv[1 + faults]) || !history.count) {
        fprintf(stderr, "check: no history in %s\n", argv[1 + faults]);
        return 2;
    }
    violations = check_history(&history, argv[1 + faults]);
    if (!faults)
        violations += check_no_faults(&history);
    print_counts(&history);
    if (violations)
        printf("%u violations\n", violations);
    history_free(&history);
    return violations > 0;
}
