/* SPDX-License-Identifier: Apache-2.0 */
/* Import's reading half: blocks into lines, lines into records, pieces into whole values. */
#include "cli/import.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK     (1u << 20)
#define LINE_MAX_ (64u << 20) /* longer than any record of a 4 MiB value can be */
#define BAD_SHOWN 20

/* One file being read. */
struct source {
    struct import *im;
    int fd;
    const char *name;
    uint64_t line; /* number of the line at work */
    struct buf text;
    size_t at;     /* first byte in text not yet handled */
    size_t looked; /* no line feed between at and here */
    bool eof, detected, over;
    enum zwr_format format;
    int skip; /* header lines still to come */
    struct zwr_record record;
    /* $ze pieces of one node, gathered */
    bool piece;
    struct key piece_key;
    uint64_t piece_total;
    struct buf piece_value;
    /* GO: the reference whose value is the next line */
    bool have_key;
    struct key key;
};

/* Returns whether to go on. */
static bool bad_record(struct source *s, const char *reason)
{
    if (s->im->bad++ < BAD_SHOWN)
        fprintf(stderr, "%s:%llu: %s\n", s->name, (unsigned long long)s->line, reason);
    else if (s->im->bad == BAD_SHOWN + 1)
        fputs("(further bad records are counted, not shown)\n", stderr);
    return !s->im->strict;
}

static bool bad_at(struct source *s, int error, size_t fault)
{
    char reason[128];
    snprintf(reason, sizeof reason, "%s, at byte %zu",
             error == ECP_EINVAL ? "not a record" : error_text(error), fault + 1);
    return bad_record(s, reason);
}

static bool send_node(struct source *s, struct slice key, struct slice value)
{
    if (!key.len)
        return bad_record(s, "the root has no value");
    if (value.len > VALUE_MAX_LEN)
        return bad_record(s, error_text(ECP_EVALUELONG));
    return !import_send(&s->im->sender, key, value);
}

static bool pieces_end(struct source *s)
{
    if (!s->piece)
        return true;
    s->piece = false;
    return bad_record(s, "the pieces of the node before are not complete");
}

static bool take_piece(struct source *s, const struct zwr_record *r)
{
    if (s->piece && (!slice_equal(key_slice(&s->piece_key), key_slice(&r->key)) ||
                     s->piece_total != r->total || s->piece_value.len != r->offset))
        if (!pieces_end(s))
            return false;
    if (!s->piece) {
        if (r->offset)
            return bad_record(s, "a piece without the one before it");
        if (r->total > VALUE_MAX_LEN)
            return bad_record(s, error_text(ECP_EVALUELONG));
        s->piece = true;
        s->piece_key = r->key;
        s->piece_total = r->total;
        buf_clear(&s->piece_value);
    }
    buf_append_slice(&s->piece_value, r->value);
    if (s->piece_value.len < s->piece_total)
        return true;
    s->piece = false;
    if (s->piece_value.len > s->piece_total)
        return bad_record(s, "the pieces are longer than the whole");
    return send_node(s, key_slice(&s->piece_key), buf_slice(&s->piece_value));
}

static bool take_zwr(struct source *s, struct slice line)
{
    size_t fault = 0;
    if (!line.len || (line.len == 1 && line.data[0] == '\r'))
        return true;
    int error = zwr_parse_line(line, &s->record, &fault);
    if (error)
        return bad_at(s, error, fault);
    if (s->record.piece)
        return take_piece(s, &s->record);
    if (s->piece && !pieces_end(s))
        return false;
    return send_node(s, key_slice(&s->record.key), s->record.value);
}

static bool take_go(struct source *s, struct slice line)
{
    if (line.len && line.data[line.len - 1] == '\r')
        line.len--;
    if (s->have_key) {
        s->have_key = false;
        return !s->key.len || send_node(s, key_slice(&s->key), line);
    }
    if (!line.len) {
        s->over = true;
        return true;
    }
    size_t used = 0;
    int error = ref_parse(line, &s->key, &used);
    if (!error && used < line.len)
        error = ECP_EINVAL;
    s->have_key = true; /* the value's line is skipped when the reference is bad */
    if (!error && s->key.len)
        return true;
    key_root(&s->key);
    return bad_at(s, error ? error : ECP_EINVAL, used);
}

static bool take_line(struct source *s, struct slice line)
{
    s->line++;
    if (s->skip) {
        s->skip--;
        return true;
    }
    return s->format == ZWR_FORMAT_GO ? take_go(s, line) : take_zwr(s, line);
}

/* Next line in the text; false when more must be read (or nothing is left at the end). */
static bool next_line(struct source *s, struct slice *line)
{
    const uint8_t *from = s->text.data + s->looked;
    size_t left = s->text.len - s->looked;
    const uint8_t *end = left ? memchr(from, '\n', left) : NULL;
    if (!end && (!s->eof || s->at == s->text.len)) {
        s->looked = s->text.len;
        return false;
    }
    const uint8_t *stop = end ? end : s->text.data + s->text.len;
    *line = slice_of(s->text.data + s->at, (size_t)(stop - (s->text.data + s->at)));
    s->at += line->len + (end ? 1 : 0);
    s->looked = s->at;
    return true;
}

/* Looks at the first three lines without taking them. Returns whether the format is known now. */
static bool detect(struct source *s)
{
    struct slice lines[3] = {{0}};
    int n = 0, headers = 0;
    while (n < 3 && next_line(s, &lines[n]))
        n++;
    s->at = s->looked = 0;
    if (n < 3 && !s->eof)
        return false;
    enum zwr_format seen = zwr_detect(lines[0], lines[1], lines[2], &headers);
    s->format = s->im->wanted ? s->im->wanted : seen;
    s->skip = headers;
    s->detected = true;
    return true;
}

/* Reads a block behind what is left of the one before. False on failure. */
static bool fill(struct source *s)
{
    buf_consume(&s->text, s->at);
    s->looked -= s->at;
    s->at = 0;
    buf_reserve(&s->text, BLOCK);
    ssize_t n;
    do
        n = read(s->fd, s->text.data + s->text.len, BLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        cli_failed(s->im->sender.cli, "%s: cannot read it: %s", s->name, strerror(errno));
        return false;
    }
    s->eof = n == 0;
    s->text.len += (size_t)n;
    s->im->bytes += (uint64_t)n;
    if (s->text.len > LINE_MAX_) {
        cli_failed(s->im->sender.cli, "%s:%llu: a line of more than %u MiB is no record", s->name,
                   (unsigned long long)s->line + 1, LINE_MAX_ >> 20);
        return false;
    }
    return true;
}

static void tell_unknown(const struct source *s)
{
    cli_failed(
        s->im->sender.cli,
        "%s: neither ZWR nor GO: records like ^X(1)=\"value\" are expected, after two header "
        "lines or none; --format takes it as one of them all the same",
        s->name);
}

static bool read_all(struct source *s)
{
    struct slice line;
    while (!s->eof && !s->over) {
        if (!fill(s))
            return false;
        if (!s->detected && !detect(s))
            continue;
        if (s->format == ZWR_FORMAT_UNKNOWN && s->text.len) {
            tell_unknown(s);
            return false;
        }
        while (!s->over && next_line(s, &line))
            if (!take_line(s, line))
                return false;
        import_progress(s->im);
    }
    if (s->piece && !pieces_end(s))
        return false;
    return !s->have_key || bad_record(s, "a reference without its value's line");
}

int import_file(struct import *im, int fd, const char *name)
{
    struct source *s = xcalloc(1, sizeof *s);
    s->im = im;
    s->fd = fd;
    s->name = name;
    int code = read_all(s) ? EXIT_OK : EXIT_FAILED;
    buf_free(&s->text);
    buf_free(&s->piece_value);
    buf_free(&s->record.scratch);
    free(s);
    return code;
}
