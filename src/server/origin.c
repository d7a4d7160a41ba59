#include "server/origin.h"

#include <string.h>
#include <strings.h>

static bool same(const char *a, const char *b, size_t len)
{
    return strncasecmp(a, b, len) == 0;
}

/* RFC 6454 section 5 compares scheme, host and port; a browser writes a default port in none of them. */
static bool matches(const char *allowed, struct hf_str origin)
{
    const char *star = strchr(allowed, '*');
    size_t before = star == NULL ? 0 : (size_t)(star - allowed), behind = star == NULL ? 0 : strlen(star + 1);
    size_t labels;

    if (star == NULL)
        return strlen(allowed) == origin.len && same(allowed, origin.data, origin.len);
    if (origin.len <= before + behind || !same(allowed, origin.data, before) ||
        !same(star + 1, origin.data + origin.len - behind, behind))
        return false;
    /* What the star stands for is labels of a name: "https://evil.org/.example.org" is none. */
    labels = origin.len - before - behind;
    for (size_t i = 0; i < labels; i++) {
        char c = origin.data[before + i];

        if (c != '-' && c != '.' && c != '_' && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
            !(c >= 'A' && c <= 'Z'))
            return false;
    }
    return origin.data[before] != '.';
}

bool hf_origin_allowed(const struct hf_config *config, struct hf_str origin)
{
    if (origin.data == NULL || config->auth_origin_count == 0)
        return true;
    for (size_t i = 0; i < config->auth_origin_count; i++)
        if (matches(config->auth_origins[i], origin))
            return true;
    return false;
}
