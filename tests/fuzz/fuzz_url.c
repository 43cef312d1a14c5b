/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes url_parse: what it accepts has a canonical text that it accepts too, unchanged. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmalloc(size + 1), *why = NULL;
    struct url a, b;

    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    if (url_parse(text, &a, &why) == 0) {
        if (url_parse(a.text, &b, &why) != 0 || strcmp(a.text, b.text) != 0 ||
            strcmp(a.address, b.address) != 0)
            abort();
        url_free(&a);
        url_free(&b);
    }
    free(why);
    free(text);
    return 0;
}
