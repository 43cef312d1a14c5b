/* SPDX-License-Identifier: Apache-2.0 */
/* The one table that gives each named error its symbol, text and errno. */
#include "base/error.h"

#include <errno.h>
#include <stddef.h>

struct error_row {
    const char *name;
    const char *text;
    int number;
};

static const struct error_row rows[ECP_ERROR_END] = {
    [ECP_OK] = {"OK", "no error", 0},
    [ECP_ENOENT] = {"ENOENT", "no such node", ENOENT},
    [ECP_EEXIST] = {"EEXIST", "the node exists already", EEXIST},
    [ECP_ENOTEMPTY] = {"ENOTEMPTY", "the directory is not empty", ENOTEMPTY},
    [ECP_ENOTDIR] = {"ENOTDIR", "the parent is not a directory", ENOTDIR},
    [ECP_EISDIR] = {"EISDIR", "the node is a directory", EISDIR},
    [ECP_EINVAL] = {"EINVAL", "malformed request, key or reference", EINVAL},
    [ECP_EKEYLONG] = {"EKEYLONG", "the reference is too long", ENAMETOOLONG},
    [ECP_EVALUELONG] = {"EVALUELONG", "the value is too long", EFBIG},
    [ECP_ESTALE] = {"ESTALE", "the node was changed or removed meanwhile", ESTALE},
    [ECP_ETOOBIG] = {"ETOOBIG", "too many nodes for one update", EXDEV},
    [ECP_ENUMERIC] = {"ENUMERIC", "number out of range", ERANGE},
    [ECP_ENOSPC] = {"ENOSPC", "no space left in the database", ENOSPC},
    [ECP_EIO] = {"EIO", "input or output error", EIO},
    [ECP_ECORRUPT] = {"ECORRUPT", "stored data is corrupt", EIO},
    [ECP_EPROTO] = {"EPROTO", "the peer broke the protocol", EIO},
    [ECP_EVERSION] = {"EVERSION", "no protocol version in common", EIO},
    [ECP_ENAMESPACE] = {"ENAMESPACE", "the server has no such namespace", ENOENT},
    [ECP_EDISCONNECTED] = {"EDISCONNECTED", "the connection was lost", EIO},
    [ECP_ECANCELED] = {"ECANCELED", "cancelled", EINTR},
    [ECP_ETIMEOUT] = {"ETIMEOUT", "timed out", ETIMEDOUT},
    [ECP_EBUSY] = {"EBUSY", "in use", EBUSY},
    [ECP_EROFS] = {"EROFS", "read-only", EROFS},
    [ECP_EORDER] = {"EORDER", "update out of order", EIO},
    [ECP_ENOMEM] = {"ENOMEM", "out of memory", ENOMEM},
    [ECP_EUNREACHABLE] = {"EUNREACHABLE", "the server cannot be reached", EIO},
    [ECP_ESHUTDOWN] = {"ESHUTDOWN", "the server is going down", EIO},
    [ECP_ELOCKFULL] = {"ELOCKFULL", "no room for more locks", ENOLCK},
    [ECP_EDEADLOCK] = {"EDEADLOCK", "waiting for this lock would never end", EDEADLK},
};

static const struct error_row unknown = {"EUNKNOWN", "unknown error", EIO};

static const struct error_row *find(int error)
{
    if (error < 0 || error >= ECP_ERROR_END || rows[error].name == NULL)
        return &unknown;
    return &rows[error];
}

const char *error_text(int error)
{
    return find(error)->text;
}

const char *error_name(int error)
{
    return find(error)->name;
}

int error_errno(int error)
{
    return find(error)->number;
}
