/* SPDX-License-Identifier: Apache-2.0 */
/* Learns from the last sleeps and looks whether one more look is worth it. */
#include "net/busy_poll.h"

#define SKIP_MAX 4096 /* short sleeps between looks that find nothing */

bool busy_poll_wanted(const struct busy_poll *poll)
{
    return poll->likely && poll->skip == 0;
}

void busy_poll_looked(struct busy_poll *poll, bool found)
{
    poll->looks++;
    poll->finds += found;
    poll->likely = found;
    if (found)
        poll->missed = 0;
    else
        poll->missed = poll->missed == 0          ? 1
                       : poll->missed >= SKIP_MAX ? SKIP_MAX
                                                  : 2 * poll->missed;
    poll->skip = poll->missed;
}

/* Being woken is part of a sleep, and would not be of a look: hence twice the time. */
void busy_poll_slept(struct busy_poll *poll, uint64_t time)
{
    poll->likely = time < 2 * poll->time;
    if (poll->likely && poll->skip > 0)
        poll->skip--;
}
