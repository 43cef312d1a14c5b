/* SPDX-License-Identifier: Apache-2.0 */
/* What processes saw of a namespace: one record for each operation, in one file per process. */
#ifndef TESTS_COHERENCE_HISTORY_H
#define TESTS_COHERENCE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Objects are independent of each other: registers (files that always exist and are overwritten
 * with unique values), logs (files that lines are appended to), and groups (directories with a few
 * names that come, go and are renamed).
 */
enum event_kind {
    EVENT_WRITE = 1, /* register: value written */
    EVENT_READ,      /* register: value seen */
    EVENT_APPEND,    /* log: the line of value */
    EVENT_READ_LOG,  /* log: `length` bytes with `hash`; value VALUE_BAD: with a NUL */
    EVENT_CREATE,    /* group: O_EXCL, empty; value identifies the file */
    EVENT_FILL,      /* group: value written through the handle of CREATE */
    EVENT_PUBLISH,   /* group: a private file with value renamed to name */
    EVENT_RENAME,    /* group: name to name2 */
    EVENT_UNLINK,
    EVENT_MKDIR,
    EVENT_RMDIR,
    EVENT_STAT, /* group: seen[0] */
    EVENT_GET,  /* group: value seen */
    EVENT_LIST, /* group: seen[name] for each */
    EVENT_KIND_END
};

enum seen { SEEN_ABSENT, SEEN_FILE, SEEN_DIR, SEEN_PRESENT, SEEN_TWICE };

#define NAMES_MAX   8
#define VALUE_EMPTY 0u         /* the file had no bytes */
#define VALUE_BAD   UINT32_MAX /* the file had bytes that nobody wrote */
#define TIME_NEVER  UINT64_MAX

/* Times are ns of CLOCK_MONOTONIC. A record with start and no end: the process did not live to see
 * the outcome. */
struct event {
    uint64_t start, end;
    uint64_t hash;
    uint32_t value; /* unique among all that are written, but for FILL, which repeats CREATE's */
    uint32_t length;
    int32_t error; /* errno, 0: it was done */
    uint32_t unused;
    uint16_t object, worker;
    uint8_t kind, mount, name, name2;
    uint8_t seen[NAMES_MAX];
    uint64_t unused2;
};
_Static_assert(sizeof(struct event) == 64, "records are 64 bytes");

/* A file of records that grows, mapped: what was stored survives the process. */
struct recording {
    int fd;
    uint16_t worker;
    uint8_t mount;
    size_t count, room;
    struct event *events;
};

/* Exits with a message when the file cannot be made. */
void recording_open(struct recording *rec, const char *dir, unsigned worker, unsigned mount);
/* The next record, its start set last by event_begin. Valid until the next call. */
struct event *recording_next(struct recording *rec, enum event_kind kind, unsigned object);
void event_begin(struct event *event);
void event_end(struct event *event, int error);
/* As another process sees it: the records begun, and the operation under way or NULL. */
size_t recording_count(const struct recording *rec);
const struct event *recording_last(const struct recording *rec);

uint64_t now_ns(void);

/* All records of a directory, by start. */
struct history {
    struct event *events;
    size_t count;
};
bool history_load(struct history *history, const char *dir);
void history_free(struct history *history);

/* Whether it is not known if the operation was done, or will be. */
bool event_unknown(const struct event *event);
bool event_mutates(const struct event *event);
/* When it had its outcome at the latest; TIME_NEVER when that is not known. */
uint64_t event_over(const struct event *event);
void event_print(const struct event *event, uint64_t origin);

/* Text of a value: VALUE_LEN hexadecimal digits, no newline, no NUL. */
#define VALUE_LEN 8
void value_text(uint32_t value, char text[VALUE_LEN]);
uint32_t value_parse(const char *text, size_t len);

#define HASH_START UINT64_C(14695981039346656037)
static inline uint64_t hash_byte(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(1099511628211);
}

#endif
