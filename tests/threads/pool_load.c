/*
 * pool_load - publishes through a pool, by key, from many threads, as it is told by lines on standard input:
 *   publish N    each thread publishes the next N messages of each of its keys (in the background)
 *   published    wait until all that has been given to the pool
 *   settle       wait until each publish has its result, and print the sums
 *   statistics   print them
 *   subscribe CHANNEL, unsubscribe CHANNEL    callbacks tell the answer, "message CHANNEL OFFSET PAYLOAD" what comes
 *   history CHANNEL LIMIT    "history ID CHANNEL CODE" and the payloads, of the newest ones, tell the answer
 *   ping MEMBER              "pong MEMBER ID" tells the answer
 *   answered     wait until all history requests and pings so far are answered
 *   close        end
 * The others are answered by a line when they are done. Told at once: "session MEMBER ID", "ended MEMBER …", "uncertain PAYLOAD", "state MEMBER FROM TO CAUSE", "caught MEMBER". The exit status is 0 where everything
 * held that can be seen from here: exactly one result for each publish, sums that agree.
 *
 *   pool_load URL CHANNEL MEMBERS THREADS KEYS [URL...]
 */
#include "holdfast/pool.h"
#include "load.h"

#include <stdatomic.h>

struct thread {
    struct load *load;
    pthread_t thread;
    unsigned index;
    uint64_t published; /* of each key */
    uint64_t wanted;    /* under load.results.lock */
    bool quit;          /* as well */
};

enum { ASKS_MAX = 100 * 1000 };

struct load {
    struct hf_pool *pool; /* set before any thread begins; callbacks do not use it */
    const char *channel;
    unsigned threads_count, keys;
    struct thread threads[THREADS_MAX];
    struct results results;
    uint64_t wanted; /* publishes asked for in all */
    atomic_ullong done;
    atomic_bool quiet;                /* the onlooker ends */
    unsigned char answered[ASKS_MAX]; /* by the id of a history request or a ping; under results.lock */
};

/* --- callbacks --- */

static void on_result(void *user, const struct hf_client_result *result)
{
    struct load *l = user;
    struct results *r = &l->results;

    if (result->outcome == HF_CLIENT_ACKED) {
        results_count(r, result->publish_id, &r->acked);
        return;
    }
    if (result->outcome == HF_CLIENT_UNCERTAIN)
        printf("uncertain %.*s\n", (int)result->payload.len, result->payload.data);
    else
        printf("refused %.*s\n", (int)result->code.len, result->code.data);
    (void)fflush(stdout);
    results_count(r, result->publish_id, result->outcome == HF_CLIENT_REFUSED ? &r->refused : &r->uncertain);
}

static void on_connected(void *user, uint32_t member, const struct hf_client_connection *connection)
{
    (void)user;
    printf("session %" PRIu32 " %.*s\n", member, (int)connection->session.len, connection->session.data);
    (void)fflush(stdout);
}

/* All but "side", which the onlooker plays with. */
static bool is_side(struct hf_client_text channel)
{
    return channel.len == 4 && memcmp(channel.data, "side", 4) == 0;
}

static void on_message(void *user, const struct hf_client_message *m)
{
    (void)user;
    printf("message %.*s %" PRIu64 " %.*s\n", (int)m->channel.len, m->channel.data, m->offset,
           (int)m->payload.len, m->payload.data);
    (void)fflush(stdout);
}

static void on_gap(void *user, const struct hf_client_gap *gap)
{
    (void)user;
    printf("gap %.*s\n", (int)gap->channel.len, gap->channel.data);
    (void)fflush(stdout);
}

static void print_subscription(const char *what, const struct hf_client_subscription *s)
{
    if (is_side(s->channel))
        return;
    printf("%s %.*s\n", what, (int)s->channel.len, s->channel.data);
    (void)fflush(stdout);
}

static void on_subscribed(void *user, const struct hf_client_subscription *s)
{
    (void)user;
    print_subscription("subscribed", s);
}

static void on_unsubscribed(void *user, const struct hf_client_subscription *s)
{
    (void)user;
    print_subscription("unsubscribed", s);
}

static void on_problem(void *user, const struct hf_client_problem *p)
{
    (void)user;
    if (is_side(p->channel))
        return;
    printf("problem %.*s %.*s\n", (int)p->channel.len, p->channel.data, (int)p->code.len, p->code.data);
    (void)fflush(stdout);
}

static void on_member_ended(void *user, uint32_t member, const struct hf_client_break *how)
{
    (void)user;
    printf("ended %" PRIu32 " after %" PRIu64 " ms: %s\n", member, how->retry_ms, how->why);
    (void)fflush(stdout);
}

static void on_state(void *user, uint32_t member, const struct hf_client_state_change *change)
{
    (void)user;
    printf("state %" PRIu32 " %s %s %s\n", member, hf_client_state_name(change->from),
           hf_client_state_name(change->to), hf_client_cause_name(change->cause));
    (void)fflush(stdout);
}

static void on_caught_up(void *user, uint32_t member, uint64_t messages)
{
    (void)user;
    printf("caught %" PRIu32 " up with %" PRIu64 "\n", member, messages);
    (void)fflush(stdout);
}

static void note_answer(struct load *l, uint64_t request_id)
{
    (void)pthread_mutex_lock(&l->results.lock);
    if (request_id == 0 || request_id >= ASKS_MAX)
        l->results.fault = "an answer to what was never asked";
    else if (l->answered[request_id]++ > 0)
        l->results.fault = "two answers to one request";
    (void)pthread_cond_broadcast(&l->results.changed);
    (void)pthread_mutex_unlock(&l->results.lock);
}

static void on_history(void *user, const struct hf_client_history *history)
{
    uint32_t i;

    note_answer(user, history->request_id);
    if (is_side(history->channel))
        return;
    printf("history %" PRIu64 " %.*s", history->request_id, (int)history->channel.len, history->channel.data);
    printf(" %.*s", history->code.len > 0 ? (int)history->code.len : 2,
           history->code.len > 0 ? history->code.data : "ok");
    for (i = 0; i < history->count; i++)
        printf(" %.*s", (int)history->messages[i].payload.len, history->messages[i].payload.data);
    puts("");
    (void)fflush(stdout);
}

static void on_pong(void *user, uint32_t member, const struct hf_client_pong *pong)
{
    note_answer(user, pong->request_id);
    printf("pong %" PRIu32 " %" PRIu64 "\n", member, pong->request_id);
    (void)fflush(stdout);
}

/* --- publishing threads --- */

/* Each fourth one is published as bytes, which are the JSON that the others are. */
static int put_one(struct thread *t, const char *key, uint64_t n, const char *payload, size_t len)
{
    struct load *l = t->load;

    return n % 4 == 3
               ? hf_pool_publish_bytes(l->pool, key, l->channel, strlen(l->channel), payload, len, NULL, NULL)
               : hf_pool_publish(l->pool, key, l->channel, strlen(l->channel), payload, len, NULL, NULL);
}

/* Returns false where the pool takes no more. */
static bool publish_one(struct thread *t, unsigned key, uint64_t n)
{
    char name[32], payload[96];
    int len, err;

    (void)snprintf(name, sizeof(name), "%u-%u", t->index, key);
    len = snprintf(payload, sizeof(payload), "{\"key\":\"%s\",\"n\":%" PRIu64 "}", name, n);
    do {
        err = put_one(t, name, n, payload, (size_t)len);
        if (err == HF_CLIENT_EAGAIN)
            results_wait(&t->load->results);
    } while (err == HF_CLIENT_EAGAIN && !t->quit);
    if (err < 0 && err != HF_CLIENT_EAGAIN && err != HF_CLIENT_ESTATE)
        results_fault(&t->load->results, hf_client_strerror(err));
    return err == 0;
}

static bool wait_for_work(struct thread *t)
{
    struct results *r = &t->load->results;
    bool go_on;

    (void)pthread_mutex_lock(&r->lock);
    while (!t->quit && t->published == t->wanted)
        (void)pthread_cond_wait(&r->changed, &r->lock);
    go_on = !t->quit;
    (void)pthread_mutex_unlock(&r->lock);
    return go_on;
}

static void *publisher(void *thread)
{
    struct thread *t = thread;
    unsigned key;

    while (wait_for_work(t)) {
        for (key = 0; key < t->load->keys; key++)
            if (!publish_one(t, key, t->published))
                return NULL;
        t->published++;
        atomic_fetch_add(&t->load->done, t->load->keys);
    }
    return NULL;
}

/* Asks for everything that may be asked for, all the time. */
static void *onlooker(void *load)
{
    struct load *l = load;
    struct hf_pool_statistics members[HF_POOL_MEMBERS_MAX], all;
    char epoch[HF_CLIENT_EPOCH_BYTES];
    uint64_t offset;

    while (!atomic_load(&l->quiet)) {
        uint32_t count = hf_pool_statistics(l->pool, members, HF_POOL_MEMBERS_MAX, &all), i;

        for (i = 0; i < count; i++)
            if (members[i].queued > members[i].published)
                results_fault(&l->results, "more results than publishes");
        if (hf_pool_subscribe(l->pool, "side", 4, NULL) == HF_CLIENT_EINVAL)
            results_fault(&l->results, "a good name is refused");
        (void)hf_pool_position(l->pool, "side", 4, epoch, &offset);
        (void)hf_pool_unsubscribe(l->pool, "side", 4);
        if (hf_pool_history(l->pool, "side", 4, NULL, NULL) == HF_CLIENT_EINVAL)
            results_fault(&l->results, "a good question is refused");
        (void)hf_pool_ping(l->pool, 0, NULL);
        results_wait(&l->results);
    }
    return NULL;
}

/* --- orders --- */

/* The count behind an order's word: "publish 100"; 0: none. */
static unsigned long order_count(const char *line, const char *word)
{
    size_t len = strlen(word);

    return strncmp(line, word, len) == 0 && line[len] == ' ' ? strtoul(line + len, NULL, 10) : 0;
}

static void publish_more(struct load *l, uint64_t count)
{
    unsigned i;

    (void)pthread_mutex_lock(&l->results.lock);
    for (i = 0; i < l->threads_count; i++)
        l->threads[i].wanted += count;
    (void)pthread_cond_broadcast(&l->results.changed);
    (void)pthread_mutex_unlock(&l->results.lock);
    l->wanted += count * l->keys * l->threads_count;
}

static void wait_published(struct load *l)
{
    while (atomic_load(&l->done) < l->wanted && !results_faulty(&l->results))
        results_wait(&l->results);
}

static void settle(struct load *l)
{
    struct results *r = &l->results;

    wait_published(l);
    while (hf_pool_unanswered(l->pool) > 0 && !results_faulty(r))
        results_wait(r);
    (void)pthread_mutex_lock(&r->lock);
    printf("settled acked %" PRIu64 " refused %" PRIu64 " uncertain %" PRIu64 "\n", r->acked, r->refused,
           r->uncertain);
    (void)pthread_mutex_unlock(&r->lock);
}

static void print_one(const char *name, const struct hf_pool_statistics *s)
{
    printf("%s connected %" PRIu32 " published %" PRIu64 " acknowledged %" PRIu64 " refused %" PRIu64
           " uncertain %" PRIu64 " queued %" PRIu64 " reconnects %" PRIu64 " replaced %" PRIu64 "\n",
           name, s->connected, s->published, s->acknowledged, s->refused, s->uncertain, s->queued,
           s->reconnects, s->replaced);
}

static void print_statistics(struct load *l)
{
    struct hf_pool_statistics members[HF_POOL_MEMBERS_MAX], all;
    uint32_t count = hf_pool_statistics(l->pool, members, HF_POOL_MEMBERS_MAX, &all), i;

    for (i = 0; i < count; i++)
        print_one("member", &members[i]);
    print_one("all", &all);
}

/* "room 3": the newest three of it. */
static void ask_history(struct load *l, const char *words)
{
    size_t len = strcspn(words, " ");
    struct hf_client_history_query query = {.reverse = true};
    int err;

    query.limit = (uint32_t)strtoul(words + len, NULL, 10);
    err = hf_pool_history(l->pool, words, len, &query, NULL);
    if (err < 0)
        printf("history refused: %s\n", hf_client_strerror(err));
}

static void ping(struct load *l, const char *member)
{
    int err = hf_pool_ping(l->pool, (uint32_t)strtoul(member, NULL, 10), NULL);

    if (err < 0)
        printf("pong refused: %s\n", hf_client_strerror(err));
}

static bool all_answered(struct load *l, uint64_t up_to)
{
    uint64_t id;

    (void)pthread_mutex_lock(&l->results.lock);
    for (id = 1; id <= up_to && id < ASKS_MAX && l->answered[id] > 0;)
        id++;
    (void)pthread_mutex_unlock(&l->results.lock);
    return id > up_to;
}

/* The last of them is a ping of our own, whose number says how many there are. */
static void wait_answered(struct load *l)
{
    uint64_t id = 0;

    if (hf_pool_ping(l->pool, 0, &id) < 0)
        results_fault(&l->results, "a ping was refused");
    while (!all_answered(l, id) && !results_faulty(&l->results))
        results_wait(&l->results);
    printf("answered %" PRIu64 "\n", id);
}

static void obey(struct load *l)
{
    char line[64];

    while (fgets(line, sizeof(line), stdin) != NULL && strncmp(line, "close", 5) != 0) {
        if (order_count(line, "publish") > 0) {
            publish_more(l, order_count(line, "publish"));
            puts("publishing");
        } else if (strncmp(line, "published", 9) == 0) {
            wait_published(l);
            puts("published");
        } else if (strncmp(line, "settle", 6) == 0) {
            settle(l);
        } else if (strncmp(line, "subscribe ", 10) == 0) {
            (void)hf_pool_subscribe(l->pool, line + 10, strcspn(line + 10, "\n"), NULL);
        } else if (strncmp(line, "unsubscribe ", 12) == 0) {
            (void)hf_pool_unsubscribe(l->pool, line + 12, strcspn(line + 12, "\n"));
        } else if (strncmp(line, "history ", 8) == 0) {
            ask_history(l, line + 8);
        } else if (strncmp(line, "ping ", 5) == 0) {
            ping(l, line + 5);
        } else if (strncmp(line, "answered", 8) == 0) {
            wait_answered(l);
        } else if (strncmp(line, "statistics", 10) == 0) {
            print_statistics(l);
        }
        (void)fflush(stdout);
    }
}

/* --- the whole --- */

static void start_threads(struct load *l)
{
    unsigned i;

    for (i = 0; i < l->threads_count; i++) {
        l->threads[i].load = l;
        l->threads[i].index = i;
        if (pthread_create(&l->threads[i].thread, NULL, publisher, &l->threads[i]) != 0)
            abort();
    }
}

static void join_threads(struct load *l)
{
    unsigned i;

    (void)pthread_mutex_lock(&l->results.lock);
    for (i = 0; i < l->threads_count; i++)
        l->threads[i].quit = true;
    (void)pthread_cond_broadcast(&l->results.changed);
    (void)pthread_mutex_unlock(&l->results.lock);
    for (i = 0; i < l->threads_count; i++)
        (void)pthread_join(l->threads[i].thread, NULL);
}

static int run(struct load *l)
{
    pthread_t looking;
    int status;

    if (pthread_create(&looking, NULL, onlooker, l) != 0)
        abort();
    start_threads(l);
    obey(l);
    hf_pool_close(l->pool);
    join_threads(l);
    atomic_store(&l->quiet, true);
    (void)pthread_join(looking, NULL);
    status = hf_pool_join(l->pool);
    hf_pool_free(l->pool);
    if (l->results.fault != NULL)
        printf("fault: %s\n", l->results.fault);
    printf("ended with %d\n", status);
    return status == 0 && l->results.fault == NULL ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct load l;
    struct hf_pool_options options;
    int err, status;

    if (argc < 6) {
        (void)fputs("usage: pool_load URL CHANNEL MEMBERS THREADS KEYS [URL...]\n", stderr);
        return 2;
    }
    results_init(&l.results);
    l.channel = argv[2];
    l.threads_count = (unsigned)strtoul(argv[4], NULL, 10);
    l.keys = (unsigned)strtoul(argv[5], NULL, 10);
    hf_pool_options_init(&options);
    options.client.url = argv[1];
    options.members = (uint32_t)strtoul(argv[3], NULL, 10);
    if (argc > 6) {
        options.urls = (const char *const *)&argv[6];
        options.urls_count = (size_t)argc - 6;
    }
    options.user = &l;
    options.on_result = on_result;
    options.on_connected = on_connected;
    options.on_message = on_message;
    options.on_gap = on_gap;
    options.on_subscribed = on_subscribed;
    options.on_unsubscribed = on_unsubscribed;
    options.on_problem = on_problem;
    options.on_member_ended = on_member_ended;
    options.on_state = on_state;
    options.on_caught_up = on_caught_up;
    options.on_history = on_history;
    options.on_pong = on_pong;
    err = l.threads_count > THREADS_MAX ? HF_CLIENT_EINVAL : hf_pool_start(&options, &l.pool);
    if (err < 0) {
        (void)fprintf(stderr, "pool_load: %s\n", hf_client_strerror(err));
        results_release(&l.results);
        return 2;
    }
    status = run(&l);
    results_release(&l.results);
    return status;
}
