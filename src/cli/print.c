#include "cli/print.h"

#include "base/base64.h"
#include "cli/peer.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 64 * 1024 * 1024 };

bool hf_print_terminal(int fd)
{
    const char *term = getenv("TERM");

    return isatty(fd) && term != NULL && strcmp(term, "dumb") != 0;
}

bool hf_print_colours(int fd)
{
    const char *no_color = getenv("NO_COLOR");

    return hf_print_terminal(fd) && (no_color == NULL || *no_color == '\0');
}

void hf_print_init(struct hf_print *p)
{
    *p = (struct hf_print){.colour = hf_print_colours(STDOUT_FILENO)};
    hf_buf_init(&p->text, TEXT_BYTES_MAX);
}

void hf_print_release(struct hf_print *p)
{
    hf_buf_release(&p->text);
}

static void put_str(struct hf_str s)
{
    (void)fwrite(s.data, 1, s.len, stdout);
}

static struct hf_str str(struct hf_client_text t)
{
    return (struct hf_str){t.data, t.len};
}

/* Bytes are written as they are, whatever the connection made of them, and a JSON string as the text that it stands for. */
static void put_payload(struct hf_print *p, const struct hf_client_message *m)
{
    struct hf_str payload = str(m->payload);
    uint8_t *room;
    int len;

    if (m->payload_raw || payload.len == 0 ||
        (!m->payload_base64 && hf_json_kind(payload) != HF_JSON_STRING)) {
        put_str(payload);
        return;
    }
    hf_buf_reset(&p->text);
    room = hf_buf_reserve(&p->text, payload.len);
    if (room == NULL)
        len = HF_ENOMEM;
    else if (m->payload_base64)
        len = hf_base64_decode(payload, room);
    else
        len = hf_json_unquote(payload, (char *)room, payload.len);
    if (len < 0)
        put_str(payload); /* Half a surrogate pair has no UTF-8: it stays as it was written. */
    else
        put_str((struct hf_str){(const char *)room, (size_t)len});
}

static void print_text(struct hf_print *p, const struct hf_client_message *m)
{
    if (p->named) {
        fputs(p->colour ? "\033[36m" : "", stdout);
        put_str(str(m->channel));
        fputs(p->colour ? ":\033[0m " : ": ", stdout);
    }
    put_payload(p, m);
    putchar('\n');
}

static void print_json(struct hf_print *p, const struct hf_client_message *m)
{
    struct hf_buf *out = &p->text;

    hf_buf_reset(out);
    hf_buf_puts(out, "{\"channel\":");
    hf_json_put_string(out, str(m->channel));
    hf_buf_putf(out, ",\"offset\":%" PRIu64 ",\"id\":", m->offset);
    hf_json_put_string(out, str(m->id));
    hf_buf_putf(out, ",\"timestamp\":%" PRIu64 ",\"%s\":", m->timestamp_ms,
                m->payload_base64 || m->payload_raw ? "payloadBase64" : "payload");
    if (m->payload_raw)
        hf_json_put_base64(out, str(m->payload));
    else if (m->payload_base64)
        hf_json_put_string(out, str(m->payload));
    else
        hf_buf_put_str(out, str(m->payload));
    if (hf_buf_puts(out, "}\n") < 0)
        hf_peer_say("a message of %zu bytes is too large to be written", m->payload.len);
    else
        put_str(hf_buf_str(out));
}

void hf_print_message(struct hf_print *p, const struct hf_client_message *m)
{
    if (p->json)
        print_json(p, m);
    else
        print_text(p, m);
}
