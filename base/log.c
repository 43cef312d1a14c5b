/* SPDX-License-Identifier: Apache-2.0 */
/* Writes log lines to stderr or syslog; a line goes out in one write, so threads do not mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_LEN 2048

static const char *program_name = "ecpfs";
static bool use_syslog;
static atomic_int max_level = LOG_LEVEL_NOTICE;

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};

void log_open(const char *program, bool to_syslog, enum log_level level)
{
    program_name = program;
    use_syslog = to_syslog;
    max_level = (int)level;
    if (to_syslog)
        openlog(program, LOG_PID, LOG_DAEMON);
}

void log_set_level(enum log_level level)
{
    max_level = (int)level;
}

int log_level_parse(const char *text)
{
    for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
        if (strcmp(text, level_names[i]) == 0)
            return i;
    }
    return -1;
}

/* What is logged may come from a peer: control bytes must not reach a terminal or forge lines. */
static void clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7F)
            *p = '?';
    }
}

static void emit(enum log_level level, const char *format, va_list args)
{
    char line[LINE_MAX_LEN];
    int saved = errno;
    size_t start = 0;
    if (!use_syslog) {
        snprintf(line, LINE_MAX_LEN / 2, "%s: ", program_name);
        start = strlen(line);
    }
    if (vsnprintf(line + start, sizeof line - start - 1, format, args) < 0)
        snprintf(line + start, sizeof line - start - 1, "(unprintable log line)");
    clean(line);
    if (use_syslog) {
        syslog(priorities[level], "%s", line);
    } else {
        size_t len = strlen(line);
        line[len++] = '\n';
        /* Nowhere to report a failure to log. */
        ssize_t written = write(STDERR_FILENO, line, len);
        (void)written;
    }
    errno = saved;
}

void log_line(enum log_level level, const char *format, ...)
{
    if ((int)level > max_level)
        return;
    va_list args;
    va_start(args, format);
    emit(level, format, args);
    va_end(args);
}

void log_fatal(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit(LOG_LEVEL_ERROR, format, args);
    va_end(args);
    abort();
}
