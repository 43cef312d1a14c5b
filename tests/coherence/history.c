/* SPDX-License-Identifier: Apache-2.0 */
/* Records of operations: written into mapped files, read back, printed. */
#include "tests/coherence/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROOM_MAX (1u << 22) /* records; the file is sparse */

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- writing ---- */

void recording_open(struct recording *rec, const char *dir, unsigned worker, unsigned mount)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/worker.%u", dir, worker);
    *rec =
        (struct recording){.worker = (uint16_t)worker, .mount = (uint8_t)mount, .room = ROOM_MAX};
    rec->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (rec->fd < 0 || ftruncate(rec->fd, (off_t)(rec->room * sizeof(struct event))) < 0) {
        perror(path);
        exit(1);
    }
    rec->events = mmap(NULL, rec->room * sizeof(struct event), PROT_READ | PROT_WRITE, MAP_SHARED,
                       rec->fd, 0);
    if (rec->events == MAP_FAILED) {
        perror(path);
        exit(1);
    }
}

struct event *recording_next(struct recording *rec, enum event_kind kind, unsigned object)
{
    struct event *event;

    if (rec->count == rec->room) {
        fprintf(stderr, "worker %u: its log is full\n", rec->worker);
        exit(1);
    }
    event = &rec->events[rec->count++];
    event->kind = (uint8_t)kind;
    event->object = (uint16_t)object;
    event->worker = rec->worker;
    event->mount = rec->mount;
    return event;
}

void event_begin(struct event *event)
{
    __atomic_store_n(&event->start, now_ns(), __ATOMIC_RELEASE);
}

void event_end(struct event *event, int error)
{
    uint64_t now = now_ns();

    event->error = error;
    __atomic_store_n(&event->end, now, __ATOMIC_RELEASE);
}

/* The mapping is shared, the struct is not: the end is found by halving. */
size_t recording_count(const struct recording *rec)
{
    size_t low = 0, high = rec->room;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (__atomic_load_n(&rec->events[middle].start, __ATOMIC_ACQUIRE))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct event *recording_last(const struct recording *rec)
{
    size_t count = recording_count(rec);

    if (count == 0 || __atomic_load_n(&rec->events[count - 1].end, __ATOMIC_ACQUIRE))
        return NULL;
    return &rec->events[count - 1];
}

/* ---- reading ---- */

static int by_start(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static bool load_file(struct history *history, const char *path, size_t *room)
{
    FILE *file = fopen(path, "r");
    struct event event;

    if (!file) {
        perror(path);
        return false;
    }
    while (fread(&event, sizeof(event), 1, file) == 1 && event.start) {
        if (history->count == *room) {
            *room = *room ? *room * 2 : 4096;
            history->events = realloc(history->events, *room * sizeof(event));
            if (!history->events)
                abort();
        }
        history->events[history->count++] = event;
    }
    fclose(file);
    return true;
}

bool history_load(struct history *history, const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    char path[4096];
    size_t room = 0;
    bool ok = d != NULL;

    *history = (struct history){0};
    if (!d) {
        perror(dir);
        return false;
    }
    while (ok && (entry = readdir(d))) {
        if (strncmp(entry->d_name, "worker.", 7) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        ok = load_file(history, path, &room);
    }
    closedir(d);
    if (history->count)
        qsort(history->events, history->count, sizeof(struct event), by_start);
    return ok;
}

void history_free(struct history *history)
{
    free(history->events);
}

/* ---- meaning ---- */

bool event_mutates(const struct event *event)
{
    switch (event->kind) {
    case EVENT_READ:
    case EVENT_READ_LOG:
    case EVENT_STAT:
    case EVENT_GET:
    case EVENT_LIST:
        return false;
    default:
        return true;
    }
}

bool event_unknown(const struct event *event)
{
    if (!event->end)
        return true;
    switch (event->error) {
    case EIO:
    case EINTR:
    case ETIMEDOUT:
    case ENOTCONN:
    case ECONNABORTED:
        return true;
    default:
        return false;
    }
}

uint64_t event_over(const struct event *event)
{
    return event_unknown(event) ? TIME_NEVER : event->end;
}

static const char *const kind_names[EVENT_KIND_END] = {
    [EVENT_WRITE] = "write",       [EVENT_READ] = "read",     [EVENT_APPEND] = "append",
    [EVENT_READ_LOG] = "read log", [EVENT_CREATE] = "create", [EVENT_FILL] = "fill",
    [EVENT_PUBLISH] = "publish",   [EVENT_RENAME] = "rename", [EVENT_UNLINK] = "unlink",
    [EVENT_MKDIR] = "mkdir",       [EVENT_RMDIR] = "rmdir",   [EVENT_STAT] = "stat",
    [EVENT_GET] = "get",           [EVENT_LIST] = "list",
};

void event_print(const struct event *event, uint64_t origin)
{
    static const char seen_letters[] = "-fdp2";

    printf("  %12.6f ", (double)(int64_t)(event->start - origin) / 1e9);
    if (event->end)
        printf("%12.6f", (double)(int64_t)(event->end - origin) / 1e9);
    else
        printf("%12s", "?");
    printf("  worker %u mount %u  %s object %u", event->worker, event->mount,
           kind_names[event->kind], event->object);
    if (event->kind >= EVENT_CREATE && event->kind != EVENT_LIST)
        printf(" name %u", event->name);
    if (event->kind == EVENT_RENAME)
        printf(" to %u", event->name2);
    if (event->kind == EVENT_LIST) {
        printf(" ");
        for (unsigned i = 0; i < NAMES_MAX; i++)
            putchar(seen_letters[event->seen[i] % 5]);
    }
    if (event->kind == EVENT_STAT && event->end && !event->error)
        printf(" saw %c", seen_letters[event->seen[0] % 5]);
    if (event->value == VALUE_BAD)
        printf(" FOREIGN BYTES");
    else if (event->value)
        printf(" value %08x", event->value);
    else if ((event->kind == EVENT_READ || event->kind == EVENT_GET) && event->end && !event->error)
        printf(" empty");
    if (event->length)
        printf(" length %u", event->length);
    printf(": %s\n", !event->end ? "no outcome" : event->error ? strerror(event->error) : "done");
}

void value_text(uint32_t value, char text[VALUE_LEN])
{
    for (unsigned i = 0; i < VALUE_LEN; i++)
        text[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
}

uint32_t value_parse(const char *text, size_t len)
{
    uint32_t value = 0;

    if (len == 0)
        return VALUE_EMPTY;
    if (len != VALUE_LEN)
        return VALUE_BAD;
    for (size_t i = 0; i < len; i++) {
        const char *digits = "0123456789abcdef";
        const char *found = text[i] ? strchr(digits, text[i]) : NULL;
        if (!found)
            return VALUE_BAD;
        value = value << 4 | (uint32_t)(found - digits);
    }
    return value ? value : VALUE_BAD;
}
