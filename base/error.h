/* SPDX-License-Identifier: Apache-2.0 */
/* The named errors of ecpfs: one table gives each its wire code, text and errno. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * Values are part of the wire protocol (PROTOCOL, "Errors"): never renumber, only append.
 * Functions return 0 or one of these, always positive; errno appears at the FUSE edge only.
 */
enum ecp_error {
    ECP_OK = 0,
    ECP_ENOENT = 1,         /* the node, or the database or namespace, does not exist */
    ECP_EEXIST = 2,         /* condition "absent" failed */
    ECP_ENOTEMPTY = 3,      /* the directory still has entries */
    ECP_ENOTDIR = 4,        /* the parent is a leaf with a value */
    ECP_EISDIR = 5,         /* the node is a directory */
    ECP_EINVAL = 6,         /* malformed request, key or reference */
    ECP_EKEYLONG = 7,       /* key over KEY_MAX_LEN bytes */
    ECP_EVALUELONG = 8,     /* value over VALUE_MAX_LEN bytes */
    ECP_ESTALE = 9,         /* condition "stamp equals" or "present" failed */
    ECP_ETOOBIG = 10,       /* MOVE of more nodes than one update may carry */
    ECP_ENUMERIC = 11,      /* INCREMENT out of numeric range */
    ECP_ENOSPC = 12,        /* the database reached its size limit, or the disk is full */
    ECP_EIO = 13,           /* the disk failed */
    ECP_ECORRUPT = 14,      /* stored data does not decode */
    ECP_EPROTO = 15,        /* the peer broke the protocol */
    ECP_EVERSION = 16,      /* no protocol version in common */
    ECP_ENAMESPACE = 17,    /* the server has no such namespace */
    ECP_EDISCONNECTED = 18, /* the connection was lost; outcome of a sent update unknown */
    ECP_ECANCELED = 19,     /* the caller cancelled */
    ECP_ETIMEOUT = 20,      /* nothing came in time */
    ECP_EBUSY = 21,         /* in use: directory locked by another ecpd, too many sessions */
    ECP_EROFS = 22,         /* read-only */
    ECP_EORDER = 23,        /* update sequence number out of order */
    ECP_ENOMEM = 24,        /* out of memory */
    ECP_EUNREACHABLE = 25,  /* host unknown, connection refused */
    ECP_ESHUTDOWN = 26,     /* the server is going down */
    ECP_ELOCKFULL = 27,     /* no room in the lock table, or the session has its share */
    ECP_EDEADLOCK = 28,     /* the request would wait for itself */
    ECP_ERROR_END           /* one past the last */
};

/* Short English text for an error ("no such node"); never NULL, also for unknown codes. */
const char *error_text(int error);

/* Symbolic name ("ENOENT"); "EUNKNOWN" for codes this build does not know. */
const char *error_name(int error);

/* The errno that a file system operation answers; EIO for codes this build does not know. */
int error_errno(int error);

#endif
