/* SPDX-License-Identifier: Apache-2.0 */
/* A data server and the way to it, for tests of the cache: each step happens when the test says so.
 */
#ifndef UNIT_FAKE_UPSTREAM_H
#define UNIT_FAKE_UPSTREAM_H

#include "base/loop.h"
#include "cache/upstream.h"

/*
 * A question lies in `asked` until fake_serve lets the server do it; its answer, and what the
 * server sends by itself, lies in `sent` until fake_deliver. Others' updates are applied when
 * nothing that they touch is leased, else when the touches were answered.
 */
struct fake;

struct fake *fake_new(void);
void fake_free(struct fake *f);
struct loop *fake_loop(struct fake *f);
struct upstream *fake_up(struct fake *f);

/* Time passes; what is due is called. */
void fake_advance(struct fake *f, uint64_t ns);

size_t fake_asked(const struct fake *f);
size_t fake_sent(const struct fake *f);
void fake_serve(struct fake *f, size_t index);
void fake_deliver(struct fake *f);
/* Serves and delivers until nothing is left. */
void fake_settle(struct fake *f);
/* The questions to come fail. */
void fake_fail(struct fake *f, int error);
/* The read asked for last. */
const struct upstream_read *fake_last_read(const struct fake *f);
size_t fake_reads(const struct fake *f); /* ever asked */
size_t fake_nodes(const struct fake *f);

/* By another client. Value NULL: the node and all below go. */
void fake_update(struct fake *f, struct slice key, const char *value);
/* Pages of key's children are taken back. */
void fake_take_back(struct fake *f, struct slice key);
/* The lease runs out unnoticed: the server forgets it; lease_lost comes before the next delivery.
 */
void fake_gap(struct fake *f);
void fake_disconnect(struct fake *f, bool off);
/* The server says nothing is leased from now on. */
void fake_no_leases(struct fake *f, bool none);
/* At most so many entries in an answer's page; 0: no such bound. */
void fake_page_bound(struct fake *f, size_t entries);

/* Version of the server's tree: how many updates were applied. */
size_t fake_version(const struct fake *f);
/* A node as it was then. value is set. */
struct node fake_node(const struct fake *f, struct slice key, size_t version);
/* The first child at or after the place, as of then; false when there is none. */
bool fake_child(const struct fake *f, struct slice parent, struct slice from, bool after,
                size_t version, struct entry *child);

size_t fake_leases(const struct fake *f);    /* that the server knows of */
size_t fake_recalling(const struct fake *f); /* recalls that were not answered */

#endif
