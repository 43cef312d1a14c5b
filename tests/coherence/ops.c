/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, names and logs on a mount: random operations, recorded. */
#include "tests/coherence/ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 4096
#define LINE_LEN (VALUE_LEN + 1)

static uint64_t next_random(struct worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static unsigned pick(struct worker *w, unsigned bound)
{
    return (unsigned)(next_random(w) >> 33) % bound;
}

static uint32_t new_value(struct worker *w)
{
    return (uint32_t)(w->log.worker + 1u) << 24 | (++w->values & 0xffffff);
}

static void end(struct worker *w, struct event *event, int error)
{
    event_end(event, error);
    w->gone = error == ENOTCONN || error == ECONNABORTED;
}

static int done(int result)
{
    return result < 0 ? errno : 0;
}

/* Closes and says what went wrong first. */
static int close_after(int fd, int error)
{
    int closed = done(close(fd));

    return error ? error : closed;
}

static int write_text(int fd, const char *text, size_t len)
{
    ssize_t n = write(fd, text, len);

    return n < 0 ? errno : (size_t)n == len ? 0 : EPROTO;
}

static int read_value(int fd, uint32_t *value)
{
    char text[VALUE_LEN * 4];
    ssize_t n = pread(fd, text, sizeof(text), 0);

    if (n < 0)
        return errno;
    *value = value_parse(text, (size_t)n);
    if (*value == VALUE_BAD)
        fprintf(stderr, "foreign bytes (%zd): %.*s\n", n, (int)n, text);
    return 0;
}

/* ---- registers ---- */

static void register_path(const struct worker *w, unsigned object, char path[PATH_LEN])
{
    snprintf(path, PATH_LEN, "%s/registers/%u", w->global, object);
}

static int register_write(struct worker *w, unsigned object, int flags)
{
    char path[PATH_LEN], text[VALUE_LEN];
    struct event *event = recording_next(&w->log, EVENT_WRITE, object);
    int fd, error;

    register_path(w, object, path);
    event->value = new_value(w);
    value_text(event->value, text);
    event_begin(event);
    fd = open(path, O_WRONLY | flags, 0666);
    error = done(fd);
    if (fd >= 0)
        error = close_after(fd, write_text(fd, text, sizeof(text)));
    end(w, event, error);
    return error;
}

static void register_read(struct worker *w, unsigned object)
{
    char path[PATH_LEN];
    struct event *event = recording_next(&w->log, EVENT_READ, object);
    int fd, error;

    register_path(w, object, path);
    event_begin(event);
    fd = open(path, O_RDONLY);
    error = done(fd);
    if (fd >= 0)
        error = close_after(fd, read_value(fd, &event->value));
    end(w, event, error);
}

static void register_read_held(struct worker *w, unsigned object)
{
    char path[PATH_LEN];
    struct event *event;

    if (w->held[object] < 0) {
        register_path(w, object, path);
        w->held[object] = open(path, O_RDONLY | O_CLOEXEC);
        if (w->held[object] < 0)
            return;
    }
    event = recording_next(&w->log, EVENT_READ, object);
    event_begin(event);
    end(w, event, read_value(w->held[object], &event->value));
    if (event->error) {
        close(w->held[object]);
        w->held[object] = -1;
    }
}

static void register_op(struct worker *w)
{
    unsigned object = pick(w, w->registers);

    switch (pick(w, 8)) {
    case 0:
        register_write(w, object, 0);
        break;
    case 1:
        register_write(w, object, O_TRUNC);
        break;
    case 2:
    case 3:
    case 4:
        register_read_held(w, object);
        break;
    default:
        register_read(w, object);
    }
}

/* ---- names ---- */

static void group_path(const struct worker *w, unsigned object, const char *prefix, unsigned name,
                       char path[PATH_LEN])
{
    snprintf(path, PATH_LEN, "%s/group%u/%s%u", w->global, object, prefix, name);
}

static void name_create(struct worker *w, unsigned object, unsigned name, const char *path)
{
    struct event *event = recording_next(&w->log, EVENT_CREATE, object);
    char text[VALUE_LEN];
    uint32_t value;
    int fd;

    event->name = (uint8_t)name;
    event->value = value = new_value(w);
    event_begin(event);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    end(w, event, done(fd));
    if (fd < 0)
        return;
    event = recording_next(&w->log, EVENT_FILL, object);
    event->name = (uint8_t)name;
    event->value = value;
    value_text(value, text);
    event_begin(event);
    end(w, event, close_after(fd, write_text(fd, text, sizeof(text))));
}

/* As tools do: a private file, a node's or a scratch file, takes the place of the name. */
static void name_publish(struct worker *w, unsigned object, unsigned name, const char *path)
{
    char own[PATH_LEN], text[VALUE_LEN];
    struct event *event;
    uint32_t value = new_value(w);
    int fd, error;

    group_path(w, object, pick(w, 2) ? "own" : ".own", w->log.worker, own);
    value_text(value, text);
    fd = open(own, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    error = done(fd);
    if (fd >= 0)
        error = close_after(fd, write_text(fd, text, sizeof(text)));
    w->gone = error == ENOTCONN || error == ECONNABORTED;
    if (error)
        return;
    event = recording_next(&w->log, EVENT_PUBLISH, object);
    event->name = (uint8_t)name;
    event->value = value;
    event_begin(event);
    end(w, event, done(rename(own, path)));
    if (event->error)
        unlink(own);
}

static uint8_t seen_mode(mode_t mode)
{
    return S_ISDIR(mode) ? SEEN_DIR : S_ISREG(mode) ? SEEN_FILE : SEEN_PRESENT;
}

static void name_stat(struct worker *w, unsigned object, unsigned name, const char *path)
{
    struct event *event = recording_next(&w->log, EVENT_STAT, object);
    struct stat st;
    int error;

    event->name = (uint8_t)name;
    event_begin(event);
    error = done(stat(path, &st));
    event->seen[0] = error ? SEEN_ABSENT : seen_mode(st.st_mode);
    end(w, event, error == ENOENT ? 0 : error);
}

static void name_get(struct worker *w, unsigned object, unsigned name, const char *path)
{
    struct event *event = recording_next(&w->log, EVENT_GET, object);
    int fd, error;

    event->name = (uint8_t)name;
    event_begin(event);
    fd = open(path, O_RDONLY);
    error = done(fd);
    if (fd >= 0)
        error = close_after(fd, read_value(fd, &event->value));
    end(w, event, error);
}

static void note_entry(struct event *event, unsigned names, const struct dirent *entry)
{
    unsigned name;
    char more;

    if (sscanf(entry->d_name, "name%u%c", &name, &more) != 1 || name >= names)
        return;
    if (event->seen[name] != SEEN_ABSENT)
        event->seen[name] = SEEN_TWICE;
    else
        event->seen[name] = entry->d_type == DT_DIR   ? SEEN_DIR
                            : entry->d_type == DT_REG ? SEEN_FILE
                                                      : SEEN_PRESENT;
}

static void name_list(struct worker *w, unsigned object)
{
    char path[PATH_LEN];
    struct event *event = recording_next(&w->log, EVENT_LIST, object);
    struct dirent *entry;
    DIR *d;
    int error = 0;

    snprintf(path, sizeof(path), "%s/group%u", w->global, object);
    event_begin(event);
    d = opendir(path);
    if (!d) {
        end(w, event, errno);
        return;
    }
    while (errno = 0, (entry = readdir(d)))
        note_entry(event, w->names, entry);
    error = errno;
    closedir(d);
    end(w, event, error);
}

static void name_change(struct worker *w, enum event_kind kind, unsigned object, unsigned name,
                        const char *path)
{
    char target[PATH_LEN];
    struct event *event = recording_next(&w->log, kind, object);
    int result;

    event->name = (uint8_t)name;
    if (kind == EVENT_RENAME) {
        event->name2 = (uint8_t)((name + 1 + pick(w, w->names - 1)) % w->names);
        group_path(w, object, "name", event->name2, target);
    }
    event_begin(event);
    result = kind == EVENT_RENAME   ? rename(path, target)
             : kind == EVENT_UNLINK ? unlink(path)
             : kind == EVENT_MKDIR  ? mkdir(path, 0777)
                                    : rmdir(path);
    end(w, event, done(result));
}

static void name_op(struct worker *w)
{
    unsigned object = pick(w, w->groups), name = pick(w, w->names);
    char path[PATH_LEN];

    group_path(w, object, "name", name, path);
    switch (pick(w, 16)) {
    case 0:
    case 1:
        name_create(w, object, name, path);
        break;
    case 2:
        name_publish(w, object, name, path);
        break;
    case 3:
    case 4:
        name_change(w, EVENT_RENAME, object, name, path);
        break;
    case 5:
    case 6:
        name_change(w, EVENT_UNLINK, object, name, path);
        break;
    case 7:
        name_change(w, EVENT_MKDIR, object, name, path);
        break;
    case 8:
        name_change(w, EVENT_RMDIR, object, name, path);
        break;
    case 9:
    case 10:
        name_list(w, object);
        break;
    case 11:
    case 12:
    case 13:
        name_stat(w, object, name, path);
        break;
    default:
        name_get(w, object, name, path);
    }
}

/* ---- logs ---- */

static void log_path(const struct worker *w, unsigned object, char path[PATH_LEN])
{
    snprintf(path, PATH_LEN, "%s/logs/%u", w->global, object);
}

static void log_append(struct worker *w, unsigned object)
{
    char path[PATH_LEN], line[LINE_LEN];
    struct event *event = recording_next(&w->log, EVENT_APPEND, object);
    int fd, error;

    log_path(w, object, path);
    event->value = new_value(w);
    value_text(event->value, line);
    line[VALUE_LEN] = '\n';
    event_begin(event);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0666);
    error = done(fd);
    if (fd >= 0)
        error = close_after(fd, write_text(fd, line, sizeof(line)));
    end(w, event, error);
}

static int read_log(int fd, struct event *event, FILE *copy)
{
    uint8_t bytes[16384];
    ssize_t n;

    event->hash = HASH_START;
    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            event->hash = hash_byte(event->hash, bytes[i]);
            if (bytes[i] == '\0')
                event->value = VALUE_BAD;
        }
        event->length += (uint32_t)n;
        if (copy && fwrite(bytes, (size_t)n, 1, copy) != 1)
            return errno;
    }
    return done((int)n);
}

static int log_read(struct worker *w, unsigned object, const char *dir)
{
    char path[PATH_LEN];
    struct event *event = recording_next(&w->log, EVENT_READ_LOG, object);
    FILE *copy = NULL;
    int fd, error;

    if (dir) {
        snprintf(path, sizeof(path), "%s/log.%u", dir, object);
        copy = fopen(path, "w");
        if (!copy) {
            perror(path);
            exit(1);
        }
    }
    log_path(w, object, path);
    event_begin(event);
    fd = open(path, O_RDONLY);
    error = done(fd);
    if (fd >= 0)
        error = close_after(fd, read_log(fd, event, copy));
    end(w, event, error == ENOENT ? 0 : error);
    if (copy)
        fclose(copy);
    return error;
}

static void log_op(struct worker *w)
{
    unsigned object = (unsigned)((now_ns() - w->began) / w->log_turn);

    if (pick(w, 8))
        log_append(w, object);
    else
        log_read(w, object, NULL);
}

/* ---- all ---- */

static int make_dir(const char *path)
{
    return mkdir(path, 0777) < 0 && errno != EEXIST ? errno : 0;
}

int ops_prepare(struct worker *w)
{
    char path[PATH_LEN];
    int error, len = snprintf(path, sizeof(path), "%s", w->global);

    error = make_dir(path);
    strcpy(path + len, "/registers");
    if (!error)
        error = make_dir(path);
    strcpy(path + len, "/logs");
    if (!error)
        error = make_dir(path);
    for (unsigned i = 0; !error && i < w->groups; i++) {
        snprintf(path + len, sizeof(path) - (size_t)len, "/group%u", i);
        error = done(mkdir(path, 0777));
    }
    for (unsigned i = 0; !error && i < w->registers; i++)
        error = register_write(w, i, O_CREAT | O_TRUNC);
    return error;
}

void ops_one(struct worker *w)
{
    unsigned kind;

    do
        kind = 1u << pick(w, 3);
    while (!(w->kinds & kind));
    if (kind == KIND_REGISTERS)
        register_op(w);
    else if (kind == KIND_NAMES)
        name_op(w);
    else
        log_op(w);
}

void ops_final(struct worker *w, const char *dir)
{
    char path[PATH_LEN];

    for (unsigned i = 0; i < w->registers; i++)
        register_read(w, i);
    for (unsigned i = 0; i < w->groups; i++) {
        name_list(w, i);
        for (unsigned name = 0; name < w->names; name++) {
            group_path(w, i, "name", name, path);
            name_get(w, i, name, path);
        }
    }
    for (unsigned i = 0; (uint64_t)i * w->log_turn < now_ns() - w->began; i++)
        log_read(w, i, dir);
}
