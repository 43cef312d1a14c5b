/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on LMDB: one environment in one directory. */
#ifndef STORE_ENGINE_LMDB_H
#define STORE_ENGINE_LMDB_H

#include "store/engine.h"

/*
 * Opens the environment in directory (which exists), creating its files; limit in bytes bounds its
 * size. On failure returns an error and sets *why (caller frees) to a sentence that names the file.
 * The caller holds the directory's lock (store/io.h). Closed by engine->ops->close.
 */
int engine_lmdb_open(const char *directory, uint64_t limit, struct engine **engine, char **why);

/*
 * For reading only, also while another process has the environment open: read transactions and
 * meta_get. One that stays open keeps that process from using again the pages that it frees.
 */
int engine_lmdb_open_reader(const char *directory, struct engine **engine, char **why);

#endif
