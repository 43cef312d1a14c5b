/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one line per event, to stderr or syslog, by level. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level {
    LOG_LEVEL_NONE = -1, /* nothing is logged */
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/* program: name shown in each line, must outlive the process. Until called, stderr at NOTICE. */
void log_open(const char *program, bool to_syslog, enum log_level level);
void log_set_level(enum log_level level);
/* "error", "warning", "notice", "info", "debug" -> level; -1 when text is none of them. */
int log_level_parse(const char *text);

/* One line, no newline at the end. Control bytes in the result are shown as ?. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* An own fault: logs the line and aborts. */
_Noreturn void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
