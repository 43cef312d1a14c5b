/* SPDX-License-Identifier: Apache-2.0 */
/* What a command has begun to write goes with it when a signal ends it. */
#include "cli/cli.h"

#include <signal.h>
#include <unistd.h>

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static const char *volatile unfinished_file, *volatile unfinished_directory;

static void ended(int number)
{
    if (unfinished_file)
        unlink(unfinished_file);
    if (unfinished_directory)
        rmdir(unfinished_directory);
    signal(number, SIG_DFL);
    raise(number);
}

void cli_unfinished(const char *file, const char *directory)
{
    unfinished_file = file;
    unfinished_directory = directory;
    for (size_t i = 0; file && i < sizeof ending / sizeof *ending; i++)
        if (signal(ending[i], ended) == SIG_IGN) /* nohup */
            signal(ending[i], SIG_IGN);
}
