#include "cli/top.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

enum {
    CONNECT_MS = 3000,
    ANSWER_MS = 5000,
    ANSWER_BYTES_MAX = 32 * 1024 * 1024, /* 256 workers tell some 2 MB */
    URL_BYTES = 1024,
};

int hf_top_source_open(struct hf_top_source *s)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return HF_ENOMEM;
    s->curl = curl_easy_init();
    return s->curl == NULL ? HF_ENOMEM : 0;
}

void hf_top_source_close(struct hf_top_source *s)
{
    curl_easy_cleanup(s->curl);
    s->curl = NULL;
    curl_global_cleanup();
}

void hf_top_sample_drop(struct hf_top_sample *sample)
{
    json_decref(sample->stats);
    json_decref(sample->top);
    *sample = (struct hf_top_sample){NULL, NULL};
}

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
    return hf_buf_put(user, data, size * count) < 0 ? 0 : size * count;
}

static const char *unix_path(const struct hf_top_source *s)
{
    return strncmp(s->api, "unix:", 5) == 0 ? s->api + 5 : NULL;
}

static void set_up(struct hf_top_source *s, const char *path, struct hf_buf *body, struct curl_slist *headers,
                   char *error)
{
    const char *socket = unix_path(s);
    size_t api_len = strlen(s->api);
    char url[URL_BYTES];

    while (api_len > 0 && s->api[api_len - 1] == '/')
        api_len--;
    if (socket != NULL)
        snprintf(url, sizeof(url), "http://localhost%s", path);
    else
        snprintf(url, sizeof(url), "%.*s%s", (int)api_len, s->api, path);
    curl_easy_reset(s->curl); /* The connection stays. */
    curl_easy_setopt(s->curl, CURLOPT_URL, url);
    curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, error);
    if (socket != NULL)
        curl_easy_setopt(s->curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    if (s->ca != NULL)
        curl_easy_setopt(s->curl, CURLOPT_CAINFO, s->ca);
}

static struct curl_slist *key_header(const struct hf_top_source *s)
{
    char line[512];

    if (s->key == NULL)
        return NULL;
    snprintf(line, sizeof(line), "Authorization: Bearer %s", s->key);
    return curl_slist_append(NULL, line);
}

/* What a status other than 200 means. */
static void explain_status(const struct hf_top_source *s, const char *path, long status, char *why,
                           size_t why_len)
{
    if (status == 401 || status == 403)
        snprintf(why, why_len, "%s %s: %s", s->api, s->key == NULL ? "wants a key" : "does not take this key",
                 "give the server's api.key with --key or in HOLDFAST_API_KEY");
    else if (status == 404 || status == 426) /* 426: the port for clients */
        snprintf(why, why_len,
                 "%s has no %s: is it the HTTP API (api.listen) of a Holdfast server, and not older than "
                 "this program?",
                 s->api, path);
    else
        snprintf(why, why_len, "%s answered %s with status %ld", s->api, path, status);
}

static int read_json(const struct hf_top_source *s, const char *path, const struct hf_buf *body, json_t **out,
                     char *why, size_t why_len)
{
    json_error_t error;

    *out = json_loadb((const char *)body->data, body->len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(*out))
        return 0;
    json_decref(*out);
    *out = NULL;
    snprintf(why, why_len,
             "%s answered %s with something that is no JSON object: is it the HTTP API (api.listen) of a "
             "Holdfast server?",
             s->api, path);
    return HF_EIO;
}

static int get(struct hf_top_source *s, const char *path, json_t **out, char *why, size_t why_len)
{
    struct curl_slist *headers = key_header(s);
    char error[CURL_ERROR_SIZE] = "";
    struct hf_buf body;
    long status = 0;
    CURLcode code;
    int err = HF_EIO;

    hf_buf_init(&body, ANSWER_BYTES_MAX);
    set_up(s, path, &body, headers, error);
    code = curl_easy_perform(s->curl);
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK)
        snprintf(why, why_len,
                 "no answer from %s: %s. Is the server running, and is this its api.listen? (--api)", s->api,
                 error[0] != '\0' ? error : curl_easy_strerror(code));
    else if (status != 200)
        explain_status(s, path, status, why, why_len);
    else
        err = read_json(s, path, &body, out, why, why_len);
    curl_slist_free_all(headers);
    hf_buf_release(&body);
    return err;
}

int hf_top_sample_take(struct hf_top_source *s, struct hf_top_sample *sample, char *why, size_t why_len)
{
    *sample = (struct hf_top_sample){NULL, NULL};
    if (get(s, "/api/stats", &sample->stats, why, why_len) == 0 &&
        get(s, "/api/top?limit=100", &sample->top, why, why_len) == 0)
        return 0;
    hf_top_sample_drop(sample);
    return HF_EIO;
}
