/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_READ: a page of children, cut by the budget, and whole pages read ahead after it; each leased
 * when that was asked for. */
#include "server/session.h"

#define BUDGET_DEFAULT (64u << 10)
#define BUDGET_MAX     (256u << 10)
#define PAGE_HEADER    64 /* bytes of a page beside its parent's key, at most */

struct serve_read {
    struct session_read base;
    struct msg_pages_writer writer;
    size_t budget;
    bool lease;                     /* pages are to be leased */
    bool open;                      /* a page has begun and not ended */
    bool ahead;                     /* the page now written is one read ahead */
    struct key parent, first, last; /* of the page now written; last: of the entries so far */
};

static size_t room(const struct serve_read *r)
{
    size_t used = r->base.out.len - r->base.mark;

    return used < r->budget ? r->budget - used : 0;
}

static bool read_page(void *cookie, const struct page *page)
{
    struct serve_read *r = cookie;

    if (!r->ahead) {
        session_read_begin(&r->base, MSG_PAGES);
        msg_pages_begin(&r->writer, &r->base.out);
    } else if (page->parent.len + PAGE_HEADER > room(r)) {
        return false;
    }
    msg_pages_page(&r->writer, page);
    key_copy(&r->parent, page->parent);
    key_copy(&r->first, page->first);
    r->open = true;
    return true;
}

/* Reading and leasing are one turn of the loop: nothing is applied in between. A page without an
 * entry says something only when it goes to the end. */
static void page_end(struct serve_read *r, bool to_end)
{
    uint64_t lease = 0;

    if (r->lease && (to_end || r->writer.count > 0))
        lease = lease_grant(session_holder(r->base.session), key_slice(&r->parent),
                            key_slice(&r->first), key_slice(&r->last), to_end);
    msg_pages_page_end(&r->writer, to_end, lease);
    r->open = false;
    r->ahead = true;
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
        key_copy(&r->last, entry->sub);
        return true;
    }
    if (r->ahead) {
        r->base.out.len = r->writer.page_at;
        r->open = false;
    } else {
        page_end(r, false);
    }
    return false;
}

static void read_page_end(void *cookie, bool to_end)
{
    struct serve_read *r = cookie;

    if (r->open)
        page_end(r, to_end);
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
    session_read_add(session, &r->base, frame->id, r->budget);
    r->lease = m.lease;
    request = (struct store_page_request){
        .parent = m.parent,
        .from = m.from,
        .after = m.after,
        .view = m.view,
        .max_value = m.max_value,
        .entries = m.entries,
        .readahead = m.readahead,
        .onward = m.onward,
    };
    r->base.read = store_page(session->namespace->store, &request, &read_sink, r);
    return 0;
}
