/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory: it loses, keeps or tears what was not synced, and fails as told. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/buf.h"
#include "store/io.h"

struct disk;

/* Everything that it decides, the seed does. Directories are prefixes of paths; no locks. */
struct disk *disk_new(uint64_t seed);
void disk_free(struct disk *disk);
struct io *disk_io(struct disk *disk);

/* After so many changes more (0: at once), every call fails and changes nothing. */
void disk_power_off(struct disk *disk, unsigned after);
bool disk_is_off(const struct disk *disk);
/* It will not go off after all. */
void disk_stay_on(struct disk *disk);
/* Called within the change that is the last, before it. */
void disk_when_off(struct disk *disk, void (*fn)(void *cookie), void *cookie);
/* Counts as a change of somebody else's (engine_mem_gate); cookie: the disk. */
int disk_gate(void *cookie);
/* On again, with files closed: what was not synced is there in part, torn by sectors, or not. */
void disk_power_on(struct disk *disk);
/* Only the process that used it had died: all that was written is there, synced or not. */
void disk_go_on(struct disk *disk);

/*
 * The nth write (sync) from now on, 1 being the next, fails with error; 0: none will. A write does
 * half. What a failed sync was to bring is on the disk in part, as after a crash; the rest is read
 * back as long as the power is on, and no later sync brings it.
 */
void disk_fail_write(struct disk *disk, unsigned nth, int error);
void disk_fail_sync(struct disk *disk, unsigned nth, int error);

/* Bytes that files may have in all; more is ECP_ENOSPC. 0: any number. */
void disk_limit(struct disk *disk, uint64_t bytes);
/* Bytes that they have. */
uint64_t disk_used(const struct disk *disk);

/* A file's bytes, to be damaged or measured; NULL: there is none. */
struct buf *disk_file(struct disk *disk, const char *path);
/* The bytes as they are become what is on the disk. */
void disk_settle(struct disk *disk);
/* The path of the nth file (from 0), in the order of their making; NULL: no more. */
const char *disk_path(struct disk *disk, size_t n);

#endif
