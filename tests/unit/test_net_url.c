/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: canonical forms, and what is refused. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/error.h"
#include "net/url.h"

static void good(const char *text, const char *address, const char *name, const char *canonical)
{
    struct url url;
    char *why;
    cr_assert_eq(url_parse(text, &url, &why), 0, "%s", text);
    cr_assert_str_eq(url.address, address);
    cr_assert_str_eq(url.namespace, name);
    cr_assert_str_eq(url.text, canonical);
    url_free(&url);
}

Test(url, forms)
{
    good(ECP_DEFAULT_URL, "127.0.0.1:5972", "USER", ECP_DEFAULT_URL);
    good("ecp://Host.example", "host.example:5972", "USER", "ecp://host.example/USER");
    good("ecp://h:80/", "h:80", "USER", "ecp://h:80/USER");
    good("ecp://h:05972/%SYS", "h:5972", "%SYS", "ecp://h/%SYS");
    good("ecp://[0:0::1]:1/A", "[::1]:1", "A", "ecp://[::1]:1/A");
    good("ecp+unix:///run/e c.sock", "unix:/run/e c.sock", "USER",
         "ecp+unix:///run/e c.sock?namespace=USER");
    good("ecp+unix:///s?namespace=X-1", "unix:/s", "X-1", "ecp+unix:///s?namespace=X-1");
}

Test(url, refused)
{
    static const char *const bad[] = {
        "",
        "ecp:/",
        "http://h/",
        "ecp://",
        "ecp:///USER",
        "ecp://h:/A",
        "ecp://h:0/A",
        "ecp://h:65536/A",
        "ecp://h:1x/A",
        "ecp://h/A/B",
        "ecp://h/A B",
        "ecp://h/..",
        "ecp://[::1/A",
        "ecp://[]/A",
        "ecp://[::1]x/A",
        "ecp://::1/A",
        "ecp://u@h/A",
        "ecp+unix://",
        "ecp+unix:///",
        "ecp+unix://rel",
        "ecp+unix:///s?ns=A",
        "ecp+unix:///s?namespace=",
        "ecp+unix:///s\n",
        "ecp://h/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct url url;
        char *why = NULL;
        cr_assert_eq(url_parse(bad[i], &url, &why), ECP_EINVAL, "%s", bad[i]);
        cr_assert_not_null(why);
        free(why);
    }
}
