/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_READ: a page of children, cut by the budget, and whole pages read ahead after it. */
#include "server/session.h"

#define BUDGET_DEFAULT (64u << 10)
#define BUDGET_MAX     (256u << 10)
#define PAGE_HEADER    64 /* bytes of a page beside its parent's key, at most */

struct serve_read {
    struct session_read base;
    struct msg_pages_writer writer;
    size_t budget;
    bool open;  /* a page has begun and not ended */
    bool ahead; /* the page now written is one read ahead */
};

static size_t room(const struct serve_read *r)
{
    size_t used = r->base.out.len - r->base.mark;

    return used < r->budget ? r->budget - used : 0;
}

static bool read_page(void *cookie, const struct page *page)
{
    struct serve_read *r = cookie;

    if (r->ahead && page->parent.len + PAGE_HEADER > room(r))
        return false;
    msg_pages_page(&r->writer, page);
    r->open = true;
    return true;
}

/* A page read ahead is sent whole or not at all; the one asked for is cut after its first entry. */
static bool read_entry(void *cookie, const struct entry *entry)
{
    struct serve_read *r = cookie;
    bool first = !r->ahead && r->writer.count == 0;

    if (!r->open)
        return false;
    if (first || msg_entry_size(entry) <= room(r)) {
        msg_pages_entry(&r->writer, entry);
        return true;
    }
    if (r->ahead)
        r->base.out.len = r->writer.page_at;
    else
        msg_pages_page_end(&r->writer, false, 0);
    r->open = false;
    r->ahead = true;
    return false;
}

static void read_page_end(void *cookie, bool to_end)
{
    struct serve_read *r = cookie;

    if (r->open)
        msg_pages_page_end(&r->writer, to_end, 0);
    r->open = false;
    r->ahead = true;
}

static void read_done(void *cookie, int error, bool ended)
{
    struct serve_read *r = cookie;

    if (r->open)
        read_page_end(r, false);
    session_read_done(&r->base, error);
}

static const struct store_sink read_sink = {
    .page = read_page,
    .entry = read_entry,
    .page_end = read_page_end,
    .done = read_done,
};

int serve_read(struct session *session, const struct frame *frame)
{
    struct store_page_request request;
    struct serve_read *r;
    struct msg_read m;
    int error = msg_get_read(frame->payload, &m);

    if (error == ECP_EPROTO)
        return error;
    if (error) {
        session_send_error(session, frame->id, error, 0, "");
        return 0;
    }
    r = xcalloc(1, sizeof(*r));
    r->budget = m.budget == 0 ? BUDGET_DEFAULT : m.budget < BUDGET_MAX ? m.budget : BUDGET_MAX;
    session_read_add(session, &r->base, frame->id, r->budget, MSG_PAGES);
    msg_pages_begin(&r->writer, &r->base.out);
    request = (struct store_page_request){
        .parent = m.parent,
        .from = m.from,
        .after = m.after,
        .view = m.view,
        .max_value = m.max_value,
        .readahead = m.readahead,
    };
    r->base.read = store_page(session->namespace->store, &request, &read_sink, r);
    return 0;
}
