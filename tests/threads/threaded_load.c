/*
 * threaded_load - one threaded client, used by many threads at once: they publish to a channel that the client is itself subscribed to, ask for
 * its position, its history and signs of life, subscribe to others and leave them. Checked: exactly one result for each publish, acknowledged all; each message comes
 * back once, and those of one thread in order; each history request and each ping has one answer, and what history has is as it was published. The exit status is 0 where that held.
 *
 *   threaded_load URL CHANNEL THREADS MESSAGES      prints "half" when half of all have come back
 */
#include "holdfast/threaded.h"
#include "load.h"

#include <stdatomic.h>

enum { ASKS_MAX = 1000 * 1000, ASK_EACH = 16 };

struct load {
    _Atomic(struct hf_threaded *) client; /* callbacks may come before it is set */
    const char *channel;
    unsigned threads_count;
    uint64_t messages; /* of each thread */
    struct results results;
    uint64_t next_of[THREADS_MAX]; /* the callbacks' alone */
    uint64_t come;                 /* under results.lock, with subscribed and left */
    bool subscribed, left;
    atomic_ullong asked;              /* history requests and pings */
    uint64_t answers;                 /* under results.lock */
    unsigned char answered[ASKS_MAX]; /* by their ids, the callbacks' alone */
    unsigned char states_seen[8];     /* by state: it was entered; the callbacks' alone */
    enum hf_client_state state;       /* as on_state told it last; the callbacks' alone */
};

struct thread {
    struct load *load;
    pthread_t thread;
    unsigned index;
};

/* --- callbacks --- */

static void on_result(void *user, const struct hf_client_result *result)
{
    struct load *l = user;

    if (result->outcome != HF_CLIENT_ACKED)
        results_fault(&l->results, "a publish was not acknowledged");
    results_count(&l->results, result->publish_id, &l->results.acked);
}

static void note(struct load *l, bool *what)
{
    (void)pthread_mutex_lock(&l->results.lock);
    *what = true;
    (void)pthread_cond_broadcast(&l->results.changed);
    (void)pthread_mutex_unlock(&l->results.lock);
}

static bool is_channel(const struct load *l, struct hf_client_text name)
{
    return name.len == strlen(l->channel) && memcmp(name.data, l->channel, name.len) == 0;
}

/* Each third one is published as bytes, the others as texts. */
static bool is_raw(uint64_t number)
{
    return number % 3 == 2;
}

/* The payload is "THREAD:NUMBER", of bytes without the quotes. */
static void on_message(void *user, const struct hf_client_message *m)
{
    struct load *l = user;
    struct hf_threaded *client = atomic_load(&l->client);
    char words[64] = "", epoch[HF_CLIENT_EPOCH_BYTES], *colon;
    unsigned long thread;
    uint64_t offset = 0, number;

    if (!is_channel(l, m->channel))
        return;
    if (m->payload.len < sizeof(words))
        memcpy(words, m->payload.data, m->payload.len);
    thread = strtoul(m->payload_raw ? words : words + 1, &colon, 10);
    number = strtoull(colon + 1, NULL, 10);
    if (thread >= l->threads_count || number != l->next_of[thread]++)
        results_fault(&l->results, "a message is missing, doubled or out of order");
    if (m->payload_raw != is_raw(number))
        results_fault(&l->results, "bytes came as a text, or a text as bytes");
    /* In a callback the position is that of the message itself. */
    if (client != NULL && (!hf_threaded_position(client, l->channel, strlen(l->channel), epoch, &offset) ||
                           offset != m->offset))
        results_fault(&l->results, "a callback was told another position than its message's");
    (void)pthread_mutex_lock(&l->results.lock);
    if (++l->come == l->messages * l->threads_count / 2) {
        puts("half");
        (void)fflush(stdout);
    }
    (void)pthread_cond_broadcast(&l->results.changed);
    (void)pthread_mutex_unlock(&l->results.lock);
}

static void on_gap(void *user, const struct hf_client_gap *gap)
{
    struct load *l = user;

    if (is_channel(l, gap->channel))
        results_fault(&l->results, "a gap");
}

static void on_subscribed(void *user, const struct hf_client_subscription *s)
{
    struct load *l = user;

    if (is_channel(l, s->channel))
        note(l, &l->subscribed);
}

static void on_unsubscribed(void *user, const struct hf_client_subscription *s)
{
    struct load *l = user;

    if (is_channel(l, s->channel))
        note(l, &l->left);
}

static void note_answer(struct load *l, uint64_t request_id)
{
    if (request_id == 0 || request_id >= ASKS_MAX)
        results_fault(&l->results, "an answer to what was never asked");
    else if (l->answered[request_id]++ > 0)
        results_fault(&l->results, "two answers to one request");
    (void)pthread_mutex_lock(&l->results.lock);
    l->answers++;
    (void)pthread_cond_broadcast(&l->results.changed);
    (void)pthread_mutex_unlock(&l->results.lock);
}

/* Offsets go down one by one: the newest come first. */
static void on_history(void *user, const struct hf_client_history *history)
{
    struct load *l = user;
    uint32_t i;

    note_answer(l, history->request_id);
    if (history->code.len > 0 || !is_channel(l, history->channel) || history->count > 3)
        results_fault(&l->results, "no history, or another one than was asked for");
    for (i = 0; i < history->count; i++)
        if (history->messages[i].offset != history->messages[0].offset - i ||
            !is_channel(l, history->messages[i].channel))
            results_fault(&l->results, "history with a hole, or of another channel");
}

static void on_pong(void *user, const struct hf_client_pong *pong)
{
    note_answer(user, pong->request_id);
}

/* Changes follow each other without a hole. */
static void on_state(void *user, const struct hf_client_state_change *change)
{
    struct load *l = user;

    if (change->from != l->state)
        results_fault(&l->results, "a state was left that had not been told");
    l->state = change->to;
    l->states_seen[change->to] = 1;
}

/* --- threads --- */

/* One of the two, in turns. More are asked in all than may wait at once: places come back with the answers. */
static void ask(struct load *l, uint64_t n)
{
    const struct hf_client_history_query query = {.limit = 3, .reverse = true};
    int err;

    do {
        err = n % 2 == 0 ? hf_threaded_ping(l->client, NULL)
                         : hf_threaded_history(l->client, l->channel, strlen(l->channel), &query, NULL);
        if (err == HF_CLIENT_EAGAIN)
            results_wait(&l->results);
    } while (err == HF_CLIENT_EAGAIN && !results_faulty(&l->results));
    if (err == 0)
        atomic_fetch_add(&l->asked, 1);
    else
        results_fault(&l->results, hf_client_strerror(err));
}

static int publish_text(struct load *l, const char *words, size_t len, uint64_t *id)
{
    return hf_threaded_publish_text(l->client, l->channel, strlen(l->channel), words, len, NULL, id);
}

static int publish_bytes(struct load *l, const char *words, size_t len, uint64_t *id)
{
    return hf_threaded_publish_bytes(l->client, l->channel, strlen(l->channel), words, len, NULL, id);
}

static void publish_all(struct thread *t)
{
    struct load *l = t->load;
    char words[32];
    uint64_t n;
    int err = 0;

    for (n = 0; n < l->messages && !results_faulty(&l->results);) {
        int len = snprintf(words, sizeof(words), "%u:%" PRIu64, t->index, n);
        uint64_t id = 0;

        err = (is_raw(n) ? publish_bytes : publish_text)(l, words, (size_t)len, &id);
        if (err == 0 && ++n % ASK_EACH == 0)
            ask(l, n / ASK_EACH);
        if (err == 0)
            continue;
        if (err == HF_CLIENT_EAGAIN)
            results_wait(&l->results);
        else
            results_fault(&l->results, hf_client_strerror(err));
    }
}

/* Between its publishes each thread does what may be done with the client. */
static void *worker(void *thread)
{
    struct thread *t = thread;
    struct load *l = t->load;
    char mine[32], epoch[HF_CLIENT_EPOCH_BYTES];
    uint64_t before = 0, after = 0;
    size_t len = (size_t)snprintf(mine, sizeof(mine), "mine-%u", t->index);

    (void)hf_threaded_subscribe(l->client, mine, len, NULL);
    if (!hf_threaded_position(l->client, l->channel, strlen(l->channel), epoch, &before))
        results_fault(&l->results, "no position in a channel that is subscribed to");
    publish_all(t);
    (void)hf_threaded_connected(l->client);
    (void)hf_threaded_unsubscribe(l->client, mine, len);
    if (!hf_threaded_position(l->client, l->channel, strlen(l->channel), epoch, &after) || after < before)
        results_fault(&l->results, "a position that went back");
    return NULL;
}

static void wait_for(struct load *l, const bool *what)
{
    (void)pthread_mutex_lock(&l->results.lock);
    while (!*what && l->results.fault == NULL)
        (void)pthread_cond_wait(&l->results.changed, &l->results.lock);
    (void)pthread_mutex_unlock(&l->results.lock);
}

static void wait_for_all(struct load *l)
{
    uint64_t all = l->messages * l->threads_count;

    (void)pthread_mutex_lock(&l->results.lock);
    while ((l->results.acked < all || l->come < all || l->answers < atomic_load(&l->asked)) &&
           l->results.fault == NULL)
        (void)pthread_cond_wait(&l->results.changed, &l->results.lock);
    (void)pthread_mutex_unlock(&l->results.lock);
}

static int run(struct load *l)
{
    static struct thread threads[THREADS_MAX];
    unsigned i;
    int status;

    (void)hf_threaded_subscribe(l->client, l->channel, strlen(l->channel), NULL);
    wait_for(l, &l->subscribed);
    for (i = 0; i < l->threads_count; i++) {
        threads[i] = (struct thread){.load = l, .index = i};
        if (pthread_create(&threads[i].thread, NULL, worker, &threads[i]) != 0)
            abort();
    }
    for (i = 0; i < l->threads_count; i++)
        (void)pthread_join(threads[i].thread, NULL);
    wait_for_all(l);
    if (hf_threaded_unanswered(l->client) != 0 && !results_faulty(&l->results))
        results_fault(&l->results, "publishes without a result");
    (void)hf_threaded_unsubscribe(l->client, l->channel, strlen(l->channel));
    wait_for(l, &l->left);
    hf_threaded_close(l->client);
    status = hf_threaded_join(l->client);
    if (hf_threaded_publish(l->client, l->channel, strlen(l->channel), "1", 1, NULL, NULL) !=
        HF_CLIENT_ESTATE)
        results_fault(&l->results, "a client that has ended takes a publish");
    hf_threaded_free(l->client);
    if (!l->states_seen[HF_CLIENT_STATE_LIVE] || !l->states_seen[HF_CLIENT_STATE_ENDED])
        results_fault(&l->results, "states that were not told");
    if (l->results.fault != NULL)
        printf("fault: %s\n", l->results.fault);
    printf("ended with %d, %" PRIu64 " acknowledged, %" PRIu64 " come, %" PRIu64 " answered\n", status,
           l->results.acked, l->come, l->answers);
    return status == 0 && l->results.fault == NULL ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct load l;
    struct hf_threaded_options options;
    struct hf_threaded *client;
    int err, status;

    if (argc != 5) {
        (void)fputs("usage: threaded_load URL CHANNEL THREADS MESSAGES\n", stderr);
        return 2;
    }
    results_init(&l.results);
    l.channel = argv[2];
    l.threads_count = (unsigned)strtoul(argv[3], NULL, 10);
    l.messages = strtoull(argv[4], NULL, 10);
    hf_threaded_options_init(&options);
    options.client.url = argv[1];
    options.client.user = &l;
    options.client.on_result = on_result;
    options.client.on_message = on_message;
    options.client.on_gap = on_gap;
    options.client.on_subscribed = on_subscribed;
    options.client.on_history = on_history;
    options.client.on_pong = on_pong;
    options.client.on_state = on_state;
    options.client.on_unsubscribed = on_unsubscribed;
    options.queue_max = 50; /* small, so that it is met */
    err = l.threads_count > THREADS_MAX ? HF_CLIENT_EINVAL : hf_threaded_start(&options, &client);
    if (err < 0) {
        (void)fprintf(stderr, "threaded_load: %s\n", hf_client_strerror(err));
        results_release(&l.results);
        return 2;
    }
    atomic_store(&l.client, client);
    status = run(&l);
    results_release(&l.results);
    return status;
}
