/* SPDX-License-Identifier: Apache-2.0 */
/* URLs that name a namespace: ecp://HOST[:PORT]/NAMESPACE and ecp+unix://PATH:NAMESPACE forms. */
#ifndef NET_URL_H
#define NET_URL_H

#define ECP_DEFAULT_PORT 5972
#define ECP_DEFAULT_URL  "ecp://127.0.0.1/USER"
#define NAMESPACE_MAX    64 /* bytes of a namespace's name: letters, digits, "_", "-", "." , "%" */

struct url {
    char *address; /* for network_connect: "host:port", "[v6]:port", "unix:/path" */
    char *namespace;
    char *text; /* canonical URL, for messages and mount tables */
};

/*
 * ecp://HOST[:PORT][/NAMESPACE] (IPv6 hosts in brackets) or
 * ecp+unix:///PATH/OF/SOCKET[?namespace=NAME]. Without a namespace: USER. Returns 0, or ECP_EINVAL
 * with *why a sentence (caller frees). url_free afterwards.
 */
int url_parse(const char *text, struct url *url, char **why);
void url_free(struct url *url);

#endif
