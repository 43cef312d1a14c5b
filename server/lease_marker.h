/* SPDX-License-Identifier: Apache-2.0 */
/* The file that tells the next start of leases that may still run after a crash. */
#ifndef SERVER_LEASE_MARKER_H
#define SERVER_LEASE_MARKER_H

#include <stdbool.h>
#include <stdint.h>

#define LEASE_MARKER "leases" /* in the database's directory; holds the term in ms */

/* Durable when it returns true. Else it logs why. term in ns. Blocks for the disk, once in a run
 * as a rule. */
bool lease_marker_write(const char *directory, uint64_t term);
void lease_marker_remove(const char *directory);
/* The term in ns; 0: there is none. One that cannot be read counts as `longest`. */
uint64_t lease_marker_read(const char *directory, uint64_t longest);

#endif
