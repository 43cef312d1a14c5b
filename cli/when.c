/* SPDX-License-Identifier: Apache-2.0 */
/* Stamps as text, and times that people write as stamps. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cli.h"

#define STAMP_DIGITS 16 /* fewer are a number that somebody mistook for a time */

static const char *print(uint64_t stamp, bool utc, char *room, size_t size)
{
    time_t seconds = (time_t)(stamp / LOOP_SEC);
    struct tm tm;
    char day[64];
    if (!(utc ? gmtime_r : localtime_r)(&seconds, &tm))
        tm = (struct tm){0};
    strftime(day, sizeof(day), utc ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(room, size, "%s.%09u%s", day, (unsigned)(stamp % LOOP_SEC), utc ? "Z" : "");
    return room;
}

const char *when_text(uint64_t stamp, char *room, size_t size)
{
    return print(stamp, false, room, size);
}

const char *when_utc(uint64_t stamp, char *room, size_t size)
{
    return print(stamp, true, room, size);
}

/* ".5" into ns; what follows it is returned. */
static const char *fraction(const char *text, uint64_t *ns)
{
    uint64_t unit = LOOP_SEC;
    *ns = 0;
    if (*text != '.' || !isdigit((unsigned char)text[1]))
        return text;
    for (text++; isdigit((unsigned char)*text); text++) {
        unit /= 10;
        *ns += (uint64_t)(*text - '0') * unit;
    }
    return text;
}

/* "Z" or "+01:30" behind a time. */
static bool zone(const char *text, long *seconds)
{
    unsigned hours, minutes;
    int used = 0;
    *seconds = 0;
    if (!strcmp(text, "Z") || !strcmp(text, "z"))
        return true;
    if ((*text != '+' && *text != '-') ||
        sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &used) != 2 || used != 5 ||
        text[1 + used] || minutes > 59)
        return false;
    *seconds = (long)(hours * 3600 + minutes * 60) * (*text == '-' ? -1 : 1);
    return true;
}

static bool parse_date(const char *text, uint64_t *stamp)
{
    struct tm tm = {.tm_isdst = -1};
    uint64_t ns = 0;
    long east = 0;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && (*end == 'T' || *end == 't' || *end == ' ')) {
        end = strptime(end + 1, "%H:%M:%S", &tm);
        end = end ? fraction(end, &ns) : NULL;
    }
    if (!end || (*end && !zone(end, &east)))
        return false;
    struct tm day = tm;
    if (timegm(&day) == -1 || day.tm_mday != tm.tm_mday) /* the 31st of a month that has 30 days */
        return false;
    time_t seconds = *end ? timegm(&tm) - east : mktime(&tm);
    *stamp = (uint64_t)seconds * LOOP_SEC + ns;
    return seconds >= 0 && (uint64_t)seconds < UINT64_MAX / LOOP_SEC;
}

static bool parse_number(const char *text, uint64_t most, uint64_t *number, const char **end)
{
    char *rest;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *number = strtoull(text, &rest, 10);
    *end = rest;
    return !errno && *number <= most;
}

bool when_parse(struct cli *cli, const char *text, uint64_t *stamp)
{
    const char *end;
    uint64_t n, ns;
    if (text[0] == '@' && parse_number(text + 1, UINT64_MAX / LOOP_SEC - 1, &n, &end) &&
        !*fraction(end, &ns)) {
        *stamp = n * LOOP_SEC + ns;
        return true;
    }
    if (parse_number(text, UINT64_MAX, &n, &end) && !*end && end - text >= STAMP_DIGITS) {
        *stamp = n;
        return true;
    }
    if (parse_date(text, stamp))
        return true;
    cli_usage(cli, "a time is " WHEN_FORMS ", not \"%s\"", text);
    return false;
}
