#include "client/url.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool clean(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f ||
            strchr("\"<>\\^`{|}#@", *text) != NULL)
            return false;
    return true;
}

static bool copy(char *to, size_t cap, const char *from, size_t len)
{
    if (len >= cap)
        return false;
    memcpy(to, from, len);
    to[len] = '\0';
    return true;
}

static bool port_valid(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    unsigned long value = strtoul(port, NULL, 10);

    return digits > 0 && port[digits] == '\0' && value >= 1 && value <= 65535;
}

/* RFC 6455 section 3: "The port component is OPTIONAL; the default for 'ws' is port 80, while the default for 'wss' is port 443." */
static const char *usual_port(const struct hf_url *u)
{
    return u->secure ? "443" : "80";
}

/* "HOST", "HOST:PORT", "[V6]" or "[V6]:PORT". */
static bool parse_authority(struct hf_url *u, const char *text, size_t len)
{
    const char *end = text + len;
    const char *host = text;
    const char *colon;
    size_t host_len;

    if (len > 0 && *text == '[') {
        const char *bracket = memchr(text, ']', len);

        if (bracket == NULL)
            return false;
        host = text + 1;
        host_len = (size_t)(bracket - host);
        colon = bracket + 1;
    } else {
        colon = memchr(text, ':', len);
        if (colon == NULL)
            colon = end;
        host_len = (size_t)(colon - host);
    }
    if (host_len == 0 || !copy(u->host, sizeof(u->host), host, host_len))
        return false;
    if (colon == end)
        return copy(u->port, sizeof(u->port), usual_port(u), strlen(usual_port(u)));
    return *colon == ':' && copy(u->port, sizeof(u->port), colon + 1, (size_t)(end - colon) - 1) &&
           port_valid(u->port);
}

static void put_authority(struct hf_url *u)
{
    bool v6 = strchr(u->host, ':') != NULL;
    bool usual = strcmp(u->port, usual_port(u)) == 0;

    (void)snprintf(u->authority, sizeof(u->authority), "%s%s%s%s%s", v6 ? "[" : "", u->host, v6 ? "]" : "",
                   usual ? "" : ":", usual ? "" : u->port);
}

static bool parse_target(struct hf_url *u, const char *text)
{
    const char *slash = *text == '/' ? "" : "/";
    int len = snprintf(u->target, sizeof(u->target), "%s%s", slash, text);

    return len > 0 && (size_t)len < sizeof(u->target);
}

int hf_url_parse(struct hf_url *u, const char *text)
{
    size_t authority_len;

    u->secure = strncasecmp(text, "wss://", 6) == 0;
    if ((!u->secure && strncasecmp(text, "ws://", 5) != 0) || !clean(text))
        return HF_EINVAL;
    text += u->secure ? 6 : 5;
    authority_len = strcspn(text, "/?");
    if (!parse_authority(u, text, authority_len) || !parse_target(u, text + authority_len))
        return HF_EINVAL;
    put_authority(u);
    return 0;
}
