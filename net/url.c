/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the URLs that name a namespace, and makes their canonical form. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/url.h"

#define TCP_SCHEME  "ecp://"
#define UNIX_SCHEME "ecp+unix://"
#define HOST_MAX    253

static int refuse(char **why, const char *what, const char *text)
{
    *why = xasprintf("%s: \"%s\"", what, text);
    return ECP_EINVAL;
}

static bool all_of(const char *s, size_t len, const char *extra)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] >= 0x80 || !s[i] ||
            (!isalnum((unsigned char)s[i]) && !strchr(extra, s[i])))
            return false;
    return true;
}

static char *copy(const char *s, size_t len)
{
    char *c = xmalloc(len + 1);
    memcpy(c, s, len);
    c[len] = 0;
    return c;
}

static bool good_namespace(const char *s)
{
    size_t len = strlen(s);
    return len > 0 && len <= NAMESPACE_MAX && all_of(s, len, "_-.%") && strcmp(s, ".") != 0 &&
           strcmp(s, "..") != 0;
}

/* -1 when it is no port. */
static int parse_port(const char *s, size_t len)
{
    int port = 0;
    if (len == 0 || len > 5)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        port = port * 10 + (s[i] - '0');
    }
    return port >= 1 && port <= 65535 ? port : -1;
}

/* A host at the front of len bytes, in the form it has in an address; NULL when there is none.
 * *used: how many bytes it took. */
static char *parse_host(const char *s, size_t len, size_t *used)
{
    struct in6_addr v6;
    char text[INET6_ADDRSTRLEN];

    if (len > 0 && s[0] == '[') {
        const char *end = memchr(s, ']', len);
        if (!end)
            return NULL;
        char *inner = copy(s + 1, (size_t)(end - s) - 1);
        bool good = inet_pton(AF_INET6, inner, &v6) == 1;
        free(inner);
        *used = (size_t)(end - s) + 1;
        if (!good || !inet_ntop(AF_INET6, &v6, text, sizeof(text)))
            return NULL;
        return xasprintf("[%s]", text);
    }
    const char *colon = memchr(s, ':', len);
    *used = colon ? (size_t)(colon - s) : len;
    if (*used == 0 || *used > HOST_MAX || !all_of(s, *used, "-._"))
        return NULL;
    char *host = copy(s, *used);
    for (char *c = host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return host;
}

static int parse_tcp(const char *text, struct url *url, char **why)
{
    const char *s = text + strlen(TCP_SCHEME);
    size_t len = strcspn(s, "/");
    const char *name = s[len] && s[len + 1] ? s + len + 1 : "USER";
    int port = ECP_DEFAULT_PORT;
    size_t used;

    char *host = parse_host(s, len, &used);
    if (!host)
        return refuse(why, "no valid host in URL", text);
    if (used < len)
        port = s[used] == ':' ? parse_port(s + used + 1, len - used - 1) : -1;
    if (port < 0 || !good_namespace(name)) {
        free(host);
        return refuse(why, port < 0 ? "no valid port in URL" : "no valid namespace in URL", text);
    }
    url->address = xasprintf("%s:%d", host, port);
    url->namespace = xstrdup(name);
    if (port == ECP_DEFAULT_PORT)
        url->text = xasprintf(TCP_SCHEME "%s/%s", host, name);
    else
        url->text = xasprintf(TCP_SCHEME "%s/%s", url->address, name);
    free(host);
    return 0;
}

static int parse_unix(const char *text, struct url *url, char **why)
{
    static const char query[] = "?namespace=";
    const char *s = text + strlen(UNIX_SCHEME);
    size_t len = strcspn(s, "?");
    const char *name = "USER";

    if (s[0] != '/' || len < 2)
        return refuse(why, "no absolute path of a socket in URL", text);
    if (len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return refuse(why, "path of the socket too long in URL", text);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return refuse(why, "control character in URL", text);
    if (s[len]) {
        if (strncmp(s + len, query, strlen(query)) != 0)
            return refuse(why, "only ?namespace=NAME may follow the path in URL", text);
        name = s + len + strlen(query);
    }
    if (!good_namespace(name))
        return refuse(why, "no valid namespace in URL", text);
    url->address = xasprintf("unix:%.*s", (int)len, s);
    url->namespace = xstrdup(name);
    url->text = xasprintf(UNIX_SCHEME "%.*s?namespace=%s", (int)len, s, name);
    return 0;
}

int url_parse(const char *text, struct url *url, char **why)
{
    *url = (struct url){0};
    *why = NULL;
    if (strncmp(text, TCP_SCHEME, strlen(TCP_SCHEME)) == 0)
        return parse_tcp(text, url, why);
    if (strncmp(text, UNIX_SCHEME, strlen(UNIX_SCHEME)) == 0)
        return parse_unix(text, url, why);
    return refuse(why, "URL begins neither with ecp:// nor with ecp+unix://", text);
}

void url_free(struct url *url)
{
    free(url->address);
    free(url->namespace);
    free(url->text);
    *url = (struct url){0};
}
