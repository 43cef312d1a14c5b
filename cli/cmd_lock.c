/* SPDX-License-Identifier: Apache-2.0 */
/* ecp lock: a command that runs while locks are held. */
#include "cli/cli.h"

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/event.h"

#define OWNER       1 /* this process has one */
#define UNLOCK_TIME (5 * LOOP_SEC)
#define OWNER_ENV   "ECP_LOCK_OWNER"
#define STAMP_ENV   "ECP_LOCK_STAMP"
#define GROUP_LEN   16
#define EXIT_LATE   75 /* as EX_TEMPFAIL */
#define TIMEOUT_MAX (366 * 86400)

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
#define FORWARDED (sizeof forwarded / sizeof *forwarded)

struct lock_run {
    struct cli *cli;
    bool shared, wait, kill_on_loss;
    int loss_signal;
    double timeout; /* s; negative: none */
    char **command;
    struct call_lock_item items[256];
    struct key names[256];
    size_t count;
    uint8_t group[GROUP_LEN];
    struct call *call;  /* LOCK, while it has no answer */
    struct call *claim; /* the same of what a server started anew is to give back */
    struct loop_event *timer;
    struct event *signals[FORWARDED], *child_signal;
    bool locked, late, told_loss;
    bool refused;      /* by a server that was started anew */
    int error, caught; /* a signal that ended the wait */
    uint64_t stamp;
    pid_t child;
    bool ended;
    int status; /* of the child, as waitpid says */
};

/* ---- The owner travels in the environment: who runs inside does not wait for who runs outside. */

static bool group_from_environment(uint8_t *group)
{
    const char *text = getenv(OWNER_ENV);
    unsigned byte;
    if (!text || strlen(text) != 2 * GROUP_LEN)
        return false;
    for (int i = 0; i < GROUP_LEN; i++) {
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        group[i] = (uint8_t)byte;
    }
    return true;
}

static void group_new(struct lock_run *run)
{
    char text[2 * GROUP_LEN + 1];
    uint64_t random[2] = {loop_random(run->cli->loop), loop_random(run->cli->loop)};
    memcpy(run->group, random, GROUP_LEN);
    for (int i = 0; i < GROUP_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", run->group[i]);
    setenv(OWNER_ENV, text, 1);
}

static char *owner_text(struct lock_run *run)
{
    char host[256] = "";
    struct buf command = {0};
    gethostname(host, sizeof host - 1);
    for (char **arg = run->command; *arg && command.len < 200; arg++)
        buf_printf(&command, "%s%s", arg == run->command ? "" : " ", *arg);
    put_u8(&command, 0);
    char *text = xasprintf("%s %ld %.180s", host, (long)getpid(), (char *)command.data);
    buf_free(&command);
    return text;
}

/* ---- Waiting for the lock ---- */

static void on_locked(void *cookie, int error, uint64_t stamp)
{
    struct lock_run *run = cookie;
    run->call = NULL;
    run->error = error;
    run->stamp = stamp;
    run->locked = !error;
    session_wake(run->cli);
}

/* Without a connection nobody can say whether it has come too late. */
static void stop_asking(struct lock_run *run)
{
    if (run->call && client_state(run->cli->client) == CLIENT_NORMAL) {
        call_lock_cancel(run->call);
    } else if (run->call) {
        call_cancel(run->call);
        on_locked(run, ECP_ECANCELED, 0);
    }
}

static void on_timeout(void *cookie)
{
    struct lock_run *run = cookie;
    run->timer = NULL;
    run->late = true;
    stop_asking(run);
}

/* A signal typed at the terminal has reached the command already. */
static bool typed_at_terminal(int signal_number)
{
    return (signal_number == SIGINT || signal_number == SIGQUIT) &&
           tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void on_signal(evutil_socket_t signal_number, short what, void *cookie)
{
    struct lock_run *run = cookie;
    if (run->child && !run->ended) {
        if (!typed_at_terminal((int)signal_number))
            kill(run->child, (int)signal_number);
        return;
    }
    run->caught = (int)signal_number;
    stop_asking(run);
    session_wake(run->cli);
}

static void on_child(evutil_socket_t signal_number, short what, void *cookie)
{
    struct lock_run *run = cookie;
    if (run->child && !run->ended && waitpid(run->child, &run->status, WNOHANG) == run->child) {
        run->ended = true;
        session_wake(run->cli);
    }
}

static void watch_signals(struct lock_run *run)
{
    struct event_base *base = event_loop_base(run->cli->loop);
    struct sigaction was;
    for (size_t i = 0; i < FORWARDED; i++) {
        sigaction(forwarded[i], NULL, &was);
        if (was.sa_handler == SIG_IGN) /* nohup */
            continue;
        run->signals[i] = evsignal_new(base, forwarded[i], on_signal, run);
        event_add(run->signals[i], NULL);
    }
    run->child_signal = evsignal_new(base, SIGCHLD, on_child, run);
    event_add(run->child_signal, NULL);
}

static void unwatch_signals(struct lock_run *run)
{
    for (size_t i = 0; i < FORWARDED; i++)
        if (run->signals[i])
            event_free(run->signals[i]);
    event_free(run->child_signal);
}

static struct call *ask_for_lock(struct lock_run *run, bool reclaim, call_lock_fn *done)
{
    char *text = owner_text(run);
    struct call_lock_args args = {
        .who = {.owner = OWNER, .group = run->group, .text = slice_str(text)},
        .items = run->items,
        .count = run->count,
        .wait = run->timeout != 0 && !reclaim,
        .reclaim = reclaim};
    struct call *call = call_lock(run->cli->client, &args, done, run);
    free(text);
    return call;
}

static void on_reclaimed(void *cookie, int error, uint64_t stamp)
{
    struct lock_run *run = cookie;
    run->claim = NULL;
    run->refused = error;
    if (error && !run->ended)
        session_wake(run->cli);
}

/* The server was started anew, and knows of no locks. */
static void reclaim(void *cookie)
{
    struct lock_run *run = cookie;
    call_cancel(run->claim);
    run->claim = run->locked ? ask_for_lock(run, true, on_reclaimed) : NULL;
}

/* EXIT_OK with the lock held, or an exit code. */
static int acquire(struct lock_run *run)
{
    struct cli *cli = run->cli;
    run->call = ask_for_lock(run, false, on_locked);
    if (run->timeout > 0)
        run->timer = loop_timer(cli->loop, (uint64_t)(run->timeout * 1e9), on_timeout, run);
    while (run->call)
        session_wait(cli);
    loop_cancel(cli->loop, run->timer);
    run->timer = NULL;
    if (run->caught) {
        signal(run->caught, SIG_DFL);
        raise(run->caught);
        return 128 + run->caught;
    }
    if (run->locked)
        return EXIT_OK;
    if (run->error == ECP_EBUSY || (run->error == ECP_ECANCELED && run->late))
        return EXIT_LATE;
    return session_error(cli, run->items[0].name, run->error, NULL);
}

/* ---- The command ---- */

static _Noreturn void become_command(struct lock_run *run)
{
    char stamp[32];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    for (size_t i = 0; i < FORWARDED; i++)
        if (run->signals[i])
            signal(forwarded[i], SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    if (run->kill_on_loss) /* our end loses the lock, too */
        prctl(PR_SET_PDEATHSIG, run->loss_signal);
    snprintf(stamp, sizeof stamp, "%llu", (unsigned long long)run->stamp);
    setenv(STAMP_ENV, stamp, 1);
    execvp(run->command[0], run->command);
    int error = errno;
    fprintf(stderr, "ecp: lock: %s: %s\n", run->command[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

static void tell_loss(struct lock_run *run)
{
    struct cli *cli = run->cli;
    if (run->told_loss)
        return;
    run->told_loss = true;
    call_cancel(run->claim);
    run->claim = NULL;
    run->locked = false;
    const char *why = cli->lock_taken ? "an administrator took it"
                      : run->refused  ? "the server was started anew, and did not give it back"
                                      : cli->lost_why;
    fprintf(stderr, "ecp: lock: the lock was lost%s%s; %s\n", why ? ": " : "", why ? why : "",
            run->kill_on_loss ? "ending the command" : "the command goes on without it");
    if (run->kill_on_loss)
        kill(run->child, run->loss_signal);
}

static int run_command(struct lock_run *run)
{
    struct cli *cli = run->cli;
    fflush(NULL);
    run->child = fork();
    if (run->child < 0)
        return cli_failed(cli, "cannot start a process: %s", strerror(errno));
    if (run->child == 0)
        become_command(run);
    cli->wake_on_loss = true;
    while (!run->ended) {
        if (cli->over || cli->lock_taken || run->refused)
            tell_loss(run);
        session_wait(cli);
    }
    cli->wake_on_loss = false;
    return WIFSIGNALED(run->status) ? 128 + WTERMSIG(run->status) : WEXITSTATUS(run->status);
}

/* Without a connection; the server frees the lock when the recovery window is over. */
static void give_up(void *cookie)
{
    struct lock_run *run = cookie;
    run->timer = NULL;
    session_wake(run->cli);
}

static void on_unlocked(void *cookie, int error)
{
    session_wake(cookie);
}

/* ---- Arguments ---- */

static int parse_signal(struct lock_run *run, const char *text)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"TERM", SIGTERM}, {"KILL", SIGKILL}, {"HUP", SIGHUP},  {"INT", SIGINT},
                 {"QUIT", SIGQUIT}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}};
    if (!strncmp(text, "SIG", 3))
        text += 3;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(text, names[i].name)) {
            run->loss_signal = names[i].number;
            return EXIT_OK;
        }
    run->loss_signal = atoi(text);
    if (run->loss_signal >= 1 && run->loss_signal <= 64 && !text[strspn(text, "0123456789")])
        return EXIT_OK;
    return cli_usage(run->cli,
                     "--kill-on-loss: \"%s\" is no signal: TERM, KILL, HUP, INT, QUIT, USR1, USR2 "
                     "or a number from 1 to 64",
                     text);
}

static int parse_timeout(struct lock_run *run, const char *text)
{
    char *end;
    run->timeout = strtod(text, &end);
    if (end == text || *end || !(run->timeout >= 0 && run->timeout <= TIMEOUT_MAX))
        return cli_usage(run->cli, "--timeout: \"%s\" is not a number of seconds", text);
    return EXIT_OK;
}

static int parse_options(struct lock_run *run, int argc, char **argv)
{
    static const struct option options[] = {{"shared", no_argument, NULL, 's'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"kill-on-loss", optional_argument, NULL, 'k'},
                                            {0}};
    int option, code;
    while ((option = getopt_long(argc, argv, "st:", options, NULL)) != -1) {
        switch (option) {
        case 's':
            run->shared = true;
            break;
        case 't':
            if ((code = parse_timeout(run, optarg)))
                return code;
            break;
        case 'k':
            run->kill_on_loss = true;
            if (optarg && (code = parse_signal(run, optarg)))
                return code;
            break;
        default:
            return EXIT_USAGE;
        }
    }
    return EXIT_OK;
}

static int parse(struct lock_run *run, int argc, char **argv)
{
    struct target target;
    int end = 1, code;
    while (end < argc && strcmp(argv[end], "--"))
        end++;
    if (end + 1 >= argc)
        return cli_usage(run->cli, "no command: ecp lock REF... -- COMMAND [ARGUMENT...]");
    run->command = argv + end + 1;
    if ((code = parse_options(run, end, argv)))
        return code;
    if (optind == end)
        return cli_usage(run->cli, "nothing to lock: ecp lock REF... -- COMMAND [ARGUMENT...]");
    for (int i = optind; i < end; i++, run->count++) {
        if (run->count == sizeof run->items / sizeof *run->items)
            return cli_usage(run->cli, "more than %zu locks", run->count);
        if ((code = target_parse(run->cli, argv[i], false, &target)))
            return code;
        run->names[run->count] = target.key;
        run->items[run->count] = (struct call_lock_item){
            .name = key_slice(&run->names[run->count]), .exclusive = !run->shared, .counted = true};
    }
    return EXIT_OK;
}

int cmd_lock(struct cli *cli, int argc, char **argv)
{
    struct lock_run *run = xcalloc(1, sizeof *run);
    int code;
    run->cli = cli;
    run->timeout = -1;
    run->loss_signal = SIGTERM;
    code = parse(run, argc, argv);
    cli->resumes = true;
    if (!code)
        code = session_open(cli);
    if (code)
        goto parsed;
    if (!group_from_environment(run->group))
        group_new(run);
    cli->reclaim = reclaim;
    cli->reclaim_cookie = run;
    watch_signals(run);
    code = acquire(run);
    if (!code) {
        code = run_command(run);
        run->locked = false;
        if (!cli->over) {
            call_unlock(cli->client, OWNER, NULL, 0, on_unlocked, cli);
            run->timer = loop_timer(cli->loop, UNLOCK_TIME, give_up, run);
            session_wait(cli);
            loop_cancel(cli->loop, run->timer);
        }
    }
    unwatch_signals(run);
parsed:
    free(run);
    return code;
}
