/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the configuration file with libConfuse and checks what it says. */
#include "server/config_file.h"
#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "server/config_store.h"
#include "net/url.h"

#define AT_END "end-of-file" /* not for users */

/* ---- Building ---- */

void config_add_listen(struct config *config, const char *address)
{
    config->listen = xrealloc(config->listen, (config->listen_count + 1) * sizeof(char *));
    config->listen[config->listen_count++] = xstrdup(address);
}

void config_add_database(struct config *config, const char *name, const char *directory,
                         uint64_t size)
{
    size_t n = config->database_count++;

    config->databases = xrealloc(config->databases, (n + 1) * sizeof(*config->databases));
    config->databases[n] = (struct config_database){
        .name = xstrdup(name), .directory = xstrdup(directory), .size = size, .journal = true};
    config->databases[n].store = (struct store_options){.checkpoint_after = CONFIG_CHECKPOINT_AFTER,
                                                        .wait_durable = true};
}

void config_add_namespace(struct config *config, const char *name, const char *database)
{
    size_t n = config->namespace_count++;

    config->namespaces = xrealloc(config->namespaces, (n + 1) * sizeof(*config->namespaces));
    config->namespaces[n] =
        (struct config_namespace){.name = xstrdup(name), .database = xstrdup(database)};
}

const struct config_database *config_find_database(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->database_count; i++)
        if (strcmp(config->databases[i].name, name) == 0)
            return &config->databases[i];
    return NULL;
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < config->listen_count; i++)
        free(config->listen[i]);
    for (size_t i = 0; i < config->database_count; i++) {
        free(config->databases[i].name);
        free(config->databases[i].directory);
    }
    for (size_t i = 0; i < config->namespace_count; i++) {
        free(config->namespaces[i].name);
        free(config->namespaces[i].database);
    }
    free(config->listen);
    free(config->databases);
    free(config->namespaces);
    *config = (struct config){0};
}

int config_parse_size(const char *text, uint64_t *size)
{
    static const char units[] = "KMGT";
    unsigned long long n;
    const char *unit;
    unsigned shift = 0;
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return -1;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno)
        return -1;
    if (*end) {
        unit = strchr(units, toupper((unsigned char)*end));
        if (!unit || end[1])
            return -1;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (n > (UINT64_MAX >> 1) >> shift || n << shift < CONFIG_SIZE_MIN)
        return -1;
    *size = (uint64_t)n << shift;
    return 0;
}

/* ---- Reading. libConfuse gives its error function no cookie: the first message waits here. ----
 */

static char *first_error;

static void note_error(cfg_t *cfg, const char *format, va_list args)
{
    char *text = NULL;

    if (first_error)
        return;
    if (vasprintf(&text, format, args) < 0)
        log_fatal("out of memory");
    if (cfg && cfg->filename)
        first_error =
            xasprintf("%s:%d: %s", cfg->filename, cfg->line,
                      strstr(text, "'" AT_END "'") ? "the file ends, and a } is missing" : text);
    else
        first_error = xstrdup(text);
    free(text);
}

static int check_size(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *text = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    uint64_t size;

    if (text && config_parse_size(text, &size) == 0)
        return 0;
    cfg_error(cfg, "\"%s\" is no size (like 512M or 64G, at least 1M)", text ? text : "");
    return -1;
}

static int check_level(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *text = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

    if (text && log_level_parse(text) >= 0)
        return 0;
    cfg_error(cfg, "log-level is error, warning, notice, info or debug, not \"%s\"",
              text ? text : "");
    return -1;
}

static int check_number(cfg_t *cfg, cfg_opt_t *opt, long min, long max, const char *unit)
{
    long n = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);

    if (n >= min && n <= max)
        return 0;
    cfg_error(cfg, "%s is a number%s from %ld to %ld, not %ld", opt->name, unit, min, max, n);
    return -1;
}

static int check_sessions(cfg_t *cfg, cfg_opt_t *opt)
{
    return check_number(cfg, opt, 1, 1000000, "");
}

static int check_locks(cfg_t *cfg, cfg_opt_t *opt)
{
    return check_number(cfg, opt, 4, CONFIG_LOCKS_MAX, "");
}

static int check_lease(cfg_t *cfg, cfg_opt_t *opt)
{
    return check_number(cfg, opt, 1, CONFIG_LEASE_MAX, " of seconds");
}

static int check_recovery(cfg_t *cfg, cfg_opt_t *opt)
{
    return check_number(cfg, opt, 1, CONFIG_RECOVERY_MAX, " of seconds");
}

static bool name_ok(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > NAMESPACE_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_-.%", name[i]))
            return false;
    return true;
}

static int check_section(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    const char *needed = strcmp(opt->name, "database") == 0 ? "directory" : "database";
    const char *text = cfg_getstr(section, needed);

    if (!name_ok(cfg_title(section))) {
        cfg_error(cfg,
                  "\"%s\" is no name for a %s: letters, digits, _ - . %%, at most %d characters",
                  cfg_title(section), opt->name, NAMESPACE_MAX);
        return -1;
    }
    if (!text || !text[0]) {
        cfg_error(cfg, "%s %s lacks its %s", opt->name, cfg_title(section), needed);
        return -1;
    }
    return 0;
}

static int take_databases(cfg_t *cfg, struct config *config)
{
    uint64_t size = CONFIG_SIZE_DEFAULT;

    for (unsigned i = 0; i < cfg_size(cfg, "database"); i++) {
        cfg_t *section = cfg_getnsec(cfg, "database", i);

        if (config_find_database(config, cfg_title(section))) {
            cfg_error(section, "there are two databases %s", cfg_title(section));
            return -1;
        }
        if (config_parse_size(cfg_getstr(section, "size"), &size) < 0)
            return -1;
        config_add_database(config, cfg_title(section), cfg_getstr(section, "directory"), size);
        if (config_take_store(section, &config->databases[config->database_count - 1]) < 0)
            return -1;
    }
    return 0;
}

static int take_namespaces(cfg_t *cfg, struct config *config)
{
    for (unsigned i = 0; i < cfg_size(cfg, "namespace"); i++) {
        cfg_t *section = cfg_getnsec(cfg, "namespace", i);
        const char *name = cfg_title(section), *database = cfg_getstr(section, "database");

        for (size_t k = 0; k < config->namespace_count; k++) {
            if (strcmp(config->namespaces[k].name, name) == 0) {
                cfg_error(section, "there are two namespaces %s", name);
                return -1;
            }
        }
        if (!config_find_database(config, database)) {
            cfg_error(section, "namespace %s is on database \"%s\", which there is not", name,
                      database);
            return -1;
        }
        config_add_namespace(config, name, database);
    }
    return 0;
}

static int take(cfg_t *cfg, struct config *config)
{
    for (unsigned i = 0; i < cfg_size(cfg, "listen"); i++)
        config_add_listen(config, cfg_getnstr(cfg, "listen", i));
    config->max_sessions = (uint32_t)cfg_getint(cfg, "max-sessions");
    config->max_locks = (uint32_t)cfg_getint(cfg, "max-locks");
    config->lease = (uint32_t)cfg_getint(cfg, "lease");
    config->recovery = (uint32_t)cfg_getint(cfg, "recovery");
    config->log_level = log_level_parse(cfg_getstr(cfg, "log-level"));
    return take_databases(cfg, config) < 0 || take_namespaces(cfg, config) < 0 ? -1 : 0;
}

static cfg_t *config_grammar(void)
{
    static char size_default[] = "64G", level_default[] = "notice";
    static cfg_opt_t database[] = {CFG_STR("directory", NULL, CFGF_NONE),
                                   CFG_STR("size", size_default, CFGF_NONE), CONFIG_STORE_OPTIONS,
                                   CFG_END()};
    static cfg_opt_t namespace[] = {CFG_STR("database", NULL, CFGF_NONE), CFG_END()};
    static cfg_opt_t top[] = {
        CFG_STR_LIST("listen", NULL, CFGF_NONE),
        CFG_INT("max-sessions", 1024, CFGF_NONE),
        CFG_INT("max-locks", 1000000, CFGF_NONE),
        CFG_INT("lease", 10, CFGF_NONE),
        CFG_INT("recovery", 60, CFGF_NONE),
        CFG_STR("log-level", level_default, CFGF_NONE),
        CFG_BOOL(AT_END, cfg_false, CFGF_NONE),
        CFG_SEC("database", database, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
        CFG_SEC("namespace", namespace, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
        CFG_END(),
    };
    cfg_t *cfg = cfg_init(top, CFGF_NONE);

    if (!cfg)
        log_fatal("out of memory");
    cfg_set_error_function(cfg, note_error);
    cfg_set_validate_func(cfg, "database", check_section);
    cfg_set_validate_func(cfg, "namespace", check_section);
    cfg_set_validate_func(cfg, "database|size", check_size);
    cfg_set_validate_func(cfg, "log-level", check_level);
    cfg_set_validate_func(cfg, "max-sessions", check_sessions);
    cfg_set_validate_func(cfg, "max-locks", check_locks);
    cfg_set_validate_func(cfg, "lease", check_lease);
    cfg_set_validate_func(cfg, "recovery", check_recovery);
    return cfg;
}

/* libConfuse takes the end of a file for that of a section. So a line is added which it only knows
 * outside of them: half a file must not be taken for a whole one. */
static int parse(cfg_t *cfg, const char *path)
{
    FILE *file = fopen(path, "re"), *whole = NULL;
    struct buf text = {0};
    char part[4096];
    size_t n;
    int result = CFG_FILE_ERROR, saved;

    while (file && (n = fread(part, 1, sizeof(part), file)) > 0)
        buf_append(&text, part, n);
    if (file && !ferror(file)) {
        buf_append_str(&text, "\n" AT_END " = true\n");
        whole = fmemopen(text.data, text.len, "r");
    }
    if (whole) {
        cfg->filename = strdup(path); /* for messages; freed with cfg */
        result = cfg_parse_fp(cfg, whole);
        fclose(whole);
    }
    saved = errno;
    if (file)
        fclose(file);
    buf_free(&text);
    errno = saved;
    return result;
}

int config_read(const char *path, struct config *config, char **why)
{
    cfg_t *cfg = config_grammar();
    int result, error = 0;

    *config = (struct config){0};
    *why = NULL;
    first_error = NULL;
    errno = 0;
    result = parse(cfg, path);
    if (result == CFG_FILE_ERROR)
        first_error = xasprintf("%s: %s", path, strerror(errno ? errno : EIO));
    if (result != CFG_SUCCESS || take(cfg, config) < 0) {
        *why = first_error ? first_error : xasprintf("%s: cannot be read", path);
        first_error = NULL;
        config_free(config);
        error = ECP_EINVAL;
    }
    free(first_error);
    first_error = NULL;
    cfg_free(cfg);
    return error;
}
