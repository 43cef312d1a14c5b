/* SPDX-License-Identifier: Apache-2.0 */
/* When a loop looks at its descriptors for a while before it sleeps. */
#ifndef NET_BUSY_POLL_H
#define NET_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Who sleeps is woken on a processor that sleeps as well, which costs more than many a request.
 * So after a short sleep, the next is put off for up to `time`. When nothing comes meanwhile
 * (because nothing is asked, or because who asks waits for the processor that looks), that was for
 * nothing: then the next short sleeps are left as they are, each time twice as many.
 *
 * All times are in nanoseconds.
 */
struct busy_poll {
    uint64_t time; /* longest look; 0: never */
    bool likely;   /* the last sleep was short */
    uint32_t skip; /* so many short sleeps are not put off */
    uint32_t missed;
    uint64_t looks, finds; /* ever */
};

/* Whether to look before sleeping now. */
bool busy_poll_wanted(const struct busy_poll *poll);
/* It looked, and found something to do or slept after all. */
void busy_poll_looked(struct busy_poll *poll, bool found);
/* It slept for that long. */
void busy_poll_slept(struct busy_poll *poll, uint64_t time);

#endif
