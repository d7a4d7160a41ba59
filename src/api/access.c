#include "api/access.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

static bool is_loopback4(struct in_addr addr)
{
    return (ntohl(addr.s_addr) >> 24) == 127;
}

static bool is_loopback6(const struct in6_addr *addr)
{
    /* ::ffff:127.0.0.0/104: an IPv4 peer on a socket that takes both. */
    return IN6_IS_ADDR_LOOPBACK(addr) || (IN6_IS_ADDR_V4MAPPED(addr) && addr->s6_addr[12] == 127);
}

static bool peer_is_loopback(const struct sockaddr *peer)
{
    if (peer == NULL)
        return false;
    if (peer->sa_family == AF_INET)
        return is_loopback4(((const struct sockaddr_in *)(const void *)peer)->sin_addr);
    return peer->sa_family == AF_INET6 &&
           is_loopback6(&((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr);
}

/* What stands behind the host's name: nothing, or ":" and a port (RFC 3986 3.2.3: port = *DIGIT). */
static bool is_port(const char *text)
{
    return text[0] == '\0' || (text[0] == ':' && text[1 + strspn(text + 1, "0123456789")] == '\0');
}

/* RFC 9110 7.2: Host = uri-host [ ":" port ]. */
static bool host_is_loopback(const char *host)
{
    char name[64];
    struct in_addr addr4;
    struct in6_addr addr6;
    bool bracketed = host[0] == '[';
    const char *end = bracketed ? strchr(host, ']') : host + strcspn(host, ":");
    size_t len;

    host += bracketed;
    if (end == NULL || (size_t)(end - host) >= sizeof(name) || !is_port(end + bracketed))
        return false;
    len = (size_t)(end - host);
    memcpy(name, host, len);
    name[len] = '\0';
    if (bracketed)
        return inet_pton(AF_INET6, name, &addr6) == 1 && is_loopback6(&addr6);
    return strcasecmp(name, "localhost") == 0 ||
           (inet_pton(AF_INET, name, &addr4) == 1 && is_loopback4(addr4));
}

/*
 * RFC 6454 7: an origin is serialized as scheme "://" host [ ":" port ]; a default port is in neither it nor Host. Which of the two schemes it is tells nothing: who ends TLS in front
 * of us has https there and we do not see it, and two pages of one machine differ in their ports.
 */
static bool same_origin(const char *origin, const char *host)
{
    const char *authority = strncasecmp(origin, "https://", 8) == 0  ? origin + 8
                            : strncasecmp(origin, "http://", 7) == 0 ? origin + 7
                                                                     : NULL;

    return host != NULL && authority != NULL && strcasecmp(authority, host) == 0;
}

/* The key that the header shows; NULL: none. */
static const char *shown_key(const char *authorization)
{
    static const char scheme[] = "Bearer ";

    /* RFC 9110 11.1: "It uses a case-insensitive token to identify the authentication scheme". */
    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return NULL;
    authorization += sizeof(scheme) - 1;
    return authorization + strspn(authorization, " ");
}

/* All are compared, whichever it is. NULL: it is none of them. */
static const struct hf_api_key *listed_key(const struct hf_config *config, const char *shown)
{
    uint8_t hash[HF_API_HASH_BYTES];
    const struct hf_api_key *found = NULL;

    if (EVP_Digest(shown, strlen(shown), hash, NULL, EVP_sha256(), NULL) != 1)
        return NULL;
    for (size_t i = 0; i < config->api_key_count; i++)
        if (CRYPTO_memcmp(hash, config->api_keys[i].hash, sizeof(hash)) == 0)
            found = &config->api_keys[i];
    return found;
}

static bool is_the_key(const struct hf_config *config, const char *shown)
{
    size_t len = strlen(config->api_key);

    return len > 0 && strlen(shown) == len && CRYPTO_memcmp(shown, config->api_key, len) == 0;
}

static struct hf_api_verdict refuse(enum hf_code code, const char *reason)
{
    return (struct hf_api_verdict){.code = code, .reason = reason};
}

static struct hf_api_verdict allow(bool full, const char *key)
{
    return (struct hf_api_verdict){.full = full, .key = key};
}

static struct hf_api_verdict access_with_key(const struct hf_config *config, bool reads,
                                             const struct hf_api_caller *caller)
{
    const char *shown = shown_key(caller->authorization);
    const struct hf_api_key *key;

    if (shown != NULL && is_the_key(config, shown))
        return allow(true, NULL);
    key = shown == NULL || config->api_key_count == 0 ? NULL : listed_key(config, shown);
    if (key == NULL)
        return refuse(HF_CODE_UNAUTHORIZED, caller->authorization == NULL
                                                ? "the header Authorization: Bearer KEY is missing"
                                                : "the key in Authorization is not the configured one");
    if (!key->full && !reads)
        return refuse(HF_CODE_FORBIDDEN, "this key may read only, and the request would change something");
    return allow(key->full, key->name);
}

/* Who may open a Unix socket is decided by its file's permissions (api.socket_mode). */
static bool peer_is_ours(const struct sockaddr *peer)
{
    return peer_is_loopback(peer) || (peer != NULL && peer->sa_family == AF_UNIX);
}

struct hf_api_verdict hf_api_access(const struct hf_config *config, bool reads,
                                    const struct hf_api_caller *caller)
{
    if (config->api_key[0] != '\0' || config->api_key_count > 0)
        return access_with_key(config, reads, caller);
    if (!peer_is_ours(caller->peer))
        return refuse(HF_CODE_UNAUTHORIZED,
                      "no api.key is configured, so that only requests from a loopback address are served");
    if (caller->host != NULL && !host_is_loopback(caller->host))
        return refuse(HF_CODE_FORBIDDEN,
                      "no api.key is configured, so that Host must be localhost or a loopback address");
    if (caller->origin != NULL && !same_origin(caller->origin, caller->host))
        return refuse(HF_CODE_FORBIDDEN, "no api.key is configured, so that requests by a web page (with "
                                         "Origin) are refused, except by the server's own");
    return allow(true, NULL);
}

struct hf_api_verdict hf_api_access_demo(bool remote, const struct hf_api_caller *caller)
{
    if (!remote && !peer_is_loopback(caller->peer))
        return refuse(HF_CODE_FORBIDDEN,
                      "the demo is for this machine only: see demo.remote in the configuration");
    if (!remote && (caller->host == NULL || !host_is_loopback(caller->host)))
        return refuse(HF_CODE_FORBIDDEN, "the demo's Host must be localhost or a loopback address");
    if (caller->origin != NULL && !same_origin(caller->origin, caller->host))
        return refuse(HF_CODE_FORBIDDEN, "the demo's buttons are for its own page only");
    return allow(true, NULL);
}
