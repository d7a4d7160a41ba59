/*
 * bench_publish.c - `holdfast bench publish`: HTTP requests over connections that stay open; --pipeline of them under way on each. HTTP answers in
 * the order of the requests.
 */
#include "cli/bench_load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct publish_conn {
    int64_t sent_ns
        [HF_BENCH_PIPELINE_MAX]; /* ring of the times at which those under way were sent, or were due */
    uint32_t first, count;
};

struct publisher {
    struct publish_conn *conns;
    struct hf_buf request;
    uint32_t under_way;
    int64_t begun_ns;
    uint64_t due;
    bool publishing;
};

static void make_request(struct hf_bench_load *load, struct hf_buf *out)
{
    const struct hf_bench_options *o = load->options;
    struct hf_buf body;
    char channel[96], *payload = malloc(o->size);

    hf_bench_channel_name(load, 0, channel);
    hf_buf_init(&body, o->size + 256);
    if (payload != NULL) {
        hf_bench_payload_write(payload, o->size, 0, 0);
        hf_buf_putf(&body, "{\"channel\":\"%s\",\"payload\":", channel);
        hf_buf_put(&body, payload, o->size);
        hf_buf_puts(&body, "}");
    }
    hf_buf_init(out, o->size + 16384);
    hf_buf_putf(
        out,
        "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %u\r\n%s%s\r\n",
        o->url.target, o->url.authority, body.len, o->header != NULL ? o->header : "",
        o->header != NULL ? "\r\n" : "");
    hf_buf_put(out, body.data, body.len);
    hf_buf_release(&body);
    free(payload);
}

static int publish_init(struct hf_bench_load *load)
{
    struct publisher *p = calloc(1, sizeof(*p));

    load->data = p;
    if (p == NULL)
        return HF_ENOMEM;
    p->conns = calloc(load->conns_count, sizeof(*p->conns));
    make_request(load, &p->request);
    return p->conns == NULL || p->request.failed ? HF_ENOMEM : 0;
}

static void publish_release(struct hf_bench_load *load)
{
    struct publisher *p = load->data;

    if (p == NULL)
        return;
    free(p->conns);
    hf_buf_release(&p->request);
    free(p);
}

static struct publish_conn *conn_of(struct hf_bench_load *load, const struct hf_bench_conn *c)
{
    return &((struct publisher *)load->data)->conns[c - load->conns];
}

static bool has_room(struct hf_bench_load *load, const struct hf_bench_conn *c)
{
    return c->state == HF_BENCH_IS_OPEN && conn_of(load, c)->count < load->options->pipeline;
}

static void request(struct hf_bench_load *load, struct hf_bench_conn *c, int64_t sent_ns)
{
    struct publisher *p = load->data;
    struct publish_conn *pc = conn_of(load, c);

    pc->sent_ns[(pc->first + pc->count++) % HF_BENCH_PIPELINE_MAX] = sent_ns;
    p->under_way++;
    HF_BENCH_ADD(load->share->published, 1);
    hf_bench_send(load, c, p->request.data, p->request.len);
}

/* Closed loop: as many as may be under way. */
static void fill(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    const struct publisher *p = load->data;

    while (p->publishing && load->options->rate <= 0 && has_room(load, c))
        request(load, c, load->now_ns);
}

/* --- answers --- */

static const char *find_header(struct hf_str head, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i + len < head.len; i++)
        if (head.data[i] == '\n' && strncasecmp(head.data + i + 1, name, len) == 0)
            return head.data + i + 1 + len;
    return NULL;
}

/* Bytes of the whole answer, 0 where it is not whole, HF_EBADMSG. */
static ssize_t answer_len(struct hf_str in)
{
    const char *end = memmem(in.data, in.len, "\r\n\r\n", 4);
    const char *length;
    struct hf_str head;
    size_t whole;

    if (end == NULL)
        return in.len > 16384 ? HF_EBADMSG : 0;
    head = (struct hf_str){in.data, (size_t)(end - in.data) + 4};
    length = find_header(head, "content-length:");
    if (length == NULL)
        return HF_EBADMSG;
    whole = head.len + strtoul(length, NULL, 10);
    return whole <= in.len ? (ssize_t)whole : 0;
}

static void answered(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    struct publisher *p = load->data;
    struct publish_conn *pc = conn_of(load, c);

    hf_histogram_record(&load->share->latency, (uint64_t)(load->now_ns - pc->sent_ns[pc->first]));
    HF_BENCH_ADD(load->share->units, 1);
    pc->first = (pc->first + 1) % HF_BENCH_PIPELINE_MAX;
    pc->count--;
    p->under_way--;
}

/* One answer. Returns its bytes, 0 where it is not whole, or a negative number where the connection is gone. */
static ssize_t recv_answer(struct hf_bench_load *load, struct hf_bench_conn *c, const char *data, size_t len)
{
    ssize_t answer = answer_len((struct hf_str){data, len});

    if (answer == 0)
        return 0;
    if (answer < 0 || conn_of(load, c)->count == 0) {
        hf_bench_fail(load, c, "what the server sends is no HTTP answer with a length");
        return -1;
    }
    if (len < 12 || memcmp(data, "HTTP/1.1 20", 11) != 0) {
        hf_bench_complain(load, "the server answers %.*s", (int)(len < 100 ? strcspn(data, "\r\n") : 100),
                          data);
        hf_bench_fail(load, c, "a publish was refused");
        return -1;
    }
    answered(load, c);
    return answer;
}

static ssize_t publish_input(struct hf_bench_load *load, struct hf_bench_conn *c, uint8_t *data, size_t len)
{
    size_t used = 0;

    while (used < len) {
        ssize_t n = recv_answer(load, c, (const char *)data + used, len - used);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

static void publish_failed(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    struct publisher *p = load->data;
    struct publish_conn *pc = conn_of(load, c);

    HF_BENCH_ADD(load->share->lost, pc->count);
    p->under_way -= pc->count;
    pc->count = 0;
}

/* --- times --- */

static void publish_phase(struct hf_bench_load *load, enum hf_bench_phase phase)
{
    struct publisher *p = load->data;

    if (phase == HF_BENCH_STOP)
        p->publishing = false;
    if (phase == HF_BENCH_END)
        HF_BENCH_ADD(load->share->lost, p->under_way);
    if (phase != HF_BENCH_WARMUP)
        return;
    p->publishing = true;
    p->begun_ns = load->now_ns;
    for (uint32_t i = 0; i < load->conns_count; i++)
        fill(load, &load->conns[i]);
}

static int64_t due_ns(const struct hf_bench_load *load, uint64_t n)
{
    const struct publisher *p = load->data;

    return p->begun_ns + (int64_t)((double)n * 1e9 * load->shared->processes / load->options->rate);
}

/* Under a rate: one request is due after the other; it waits for a free connection, and its time runs. */
static int64_t publish_turn(struct hf_bench_load *load)
{
    struct publisher *p = load->data;

    if (!p->publishing || load->options->rate <= 0)
        return INT64_MAX;
    for (uint32_t i = 0; i < load->conns_count && due_ns(load, p->due) <= load->now_ns; i++)
        if (has_room(load, &load->conns[i]))
            request(load, &load->conns[i], due_ns(load, p->due++));
    return due_ns(load, p->due) <= load->now_ns ? load->now_ns + 1000000 : due_ns(load, p->due);
}

static bool publish_finished(struct hf_bench_load *load)
{
    return ((struct publisher *)load->data)->under_way == 0;
}

const struct hf_bench_mode hf_bench_publish = {
    .unit = "publishes",
    .init = publish_init,
    .release = publish_release,
    .opened = fill,
    .input = publish_input,
    .read_done = fill,
    .failed = publish_failed,
    .phase = publish_phase,
    .turn = publish_turn,
    .finished = publish_finished,
    .no_upgrade = true,
};
