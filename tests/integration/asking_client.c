/*
 * asking_client.c - the library's client, threaded client or pool, as a test orders it line by line: test_client_requests.py.
 *
 *   asking_client client|threaded|pool URL [TOKEN]
 *
 * It reads orders from standard input and prints a line for each thing that it is told; a token is asked for by a line, and given by an order. `self` as TOKEN: none, and each question is answered within the callback, by what
 * the last order `next TOKEN` said.
 *
 *   subscribe CHANNEL | watch CHANNEL | unsubscribe CHANNEL | presence CHANNEL | call METHOD JSON | publish CHANNEL JSON
 *   token TOKEN | no_token WHY | next TOKEN | close
 */
#include "holdfast/holdfast.h"
#include "holdfast/pool.h"
#include "holdfast/threaded.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { CLIENT, THREADED, POOL };

static struct {
    enum kind kind;
    struct hf_client *client;
    struct hf_threaded *threaded;
    struct hf_pool *pool;
    bool answers_itself;
    pthread_mutex_t lock;
    char next[HF_CLIENT_TOKEN_MAX + 1]; /* under the lock */
    char line[16384];
    size_t len;
} me = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define T(text) (int)(text).len, (text).len > 0 ? (text).data : ""

/* --- what it is told --- */

static void say_connected(const struct hf_client_connection *c)
{
    printf("connected %s %.*s\n", c->resumed ? "resumed" : "new", T(c->session));
}

static void say_break(const char *what, const struct hf_client_break *how)
{
    printf("%s %u %u %s | %.*s\n", what, how->close_code, how->http_status, how->why, T(how->reason));
}

static void on_connected(void *user, const struct hf_client_connection *c)
{
    (void)user;
    say_connected(c);
}

static void on_disconnected(void *user, const struct hf_client_break *how)
{
    (void)user;
    say_break("disconnected", how);
}

static void on_ended(void *user, const struct hf_client_break *how)
{
    (void)user;
    say_break("ended", how);
}

static void on_member_connected(void *user, uint32_t member, const struct hf_client_connection *c)
{
    (void)user;
    (void)member;
    say_connected(c);
}

static void on_member_disconnected(void *user, uint32_t member, const struct hf_client_break *how)
{
    (void)user;
    (void)member;
    say_break("disconnected", how);
}

static void on_member_ended(void *user, uint32_t member, const struct hf_client_break *how)
{
    (void)user;
    (void)member;
    say_break("ended", how);
}

static void on_message(void *user, const struct hf_client_message *m)
{
    (void)user;
    printf("message %.*s %" PRIu64 " %.*s\n", T(m->channel), m->offset, T(m->payload));
}

static void on_subscribed(void *user, const struct hf_client_subscription *s)
{
    (void)user;
    printf("subscribed %.*s\n", T(s->channel));
}

static void on_unsubscribed(void *user, const struct hf_client_subscription *s)
{
    (void)user;
    printf("unsubscribed %.*s %.*s\n", T(s->channel), T(s->code));
}

static void on_result(void *user, const struct hf_client_result *r)
{
    (void)user;
    printf("result %" PRIu64 " %d\n", r->publish_id, (int)r->outcome);
}

static void on_problem(void *user, const struct hf_client_problem *p)
{
    (void)user;
    printf("problem %.*s %.*s\n", T(p->code), T(p->reason));
}

static void on_members(void *user, const struct hf_client_members *m)
{
    uint32_t i;

    (void)user;
    flockfile(stdout);
    printf("members %" PRIu64 " %.*s", m->request_id, T(m->code));
    for (i = 0; i < m->count; i++)
        printf(" %.*s=%.*s%.*s", T(m->members[i].session), T(m->members[i].user), T(m->members[i].info));
    printf("\n");
    funlockfile(stdout);
}

static void on_presence(void *user, const struct hf_client_presence_event *e)
{
    static const char *const kinds[] = {[HF_CLIENT_PRESENCE_JOIN] = "join",
                                        [HF_CLIENT_PRESENCE_LEAVE] = "leave",
                                        [HF_CLIENT_PRESENCE_MISSED] = "missed"};

    (void)user;
    printf("%s %.*s %.*s=%.*s%.*s\n", kinds[e->kind], T(e->channel), T(e->member.session), T(e->member.user),
           T(e->member.info));
}

static void on_reply(void *user, const struct hf_client_reply *r)
{
    (void)user;
    printf("reply %" PRIu64 " %.*s %.*s %.*s\n", r->request_id, T(r->code), T(r->payload), T(r->reason));
}

static int set_next(const char *token)
{
    pthread_mutex_lock(&me.lock);
    (void)snprintf(me.next, sizeof(me.next), "%s", token);
    pthread_mutex_unlock(&me.lock);
    return 0;
}

static int give(const char *token)
{
    if (me.kind == CLIENT)
        return hf_client_set_token(me.client, token);
    return me.kind == THREADED ? hf_threaded_set_token(me.threaded, token)
                               : hf_pool_set_token(me.pool, token);
}

static void on_token_needed(void *user, enum hf_client_token_reason reason)
{
    static const char *const reasons[] = {[HF_CLIENT_TOKEN_FIRST] = "first",
                                          [HF_CLIENT_TOKEN_RENEWAL] = "renewal",
                                          [HF_CLIENT_TOKEN_EXPIRED] = "expired"};

    char token[sizeof(me.next)];

    (void)user;
    printf("token %s\n", reasons[reason]);
    pthread_mutex_lock(&me.lock);
    memcpy(token, me.next, sizeof(token));
    pthread_mutex_unlock(&me.lock);
    if (me.answers_itself && give(token) < 0)
        printf("fault: the token was not taken\n");
}

/* --- what it is ordered --- */

static int subscribe(const char *channel, bool presence)
{
    const struct hf_client_start start = {.presence = presence};

    if (me.kind == CLIENT)
        return hf_client_subscribe(me.client, channel, strlen(channel), &start);
    if (me.kind == THREADED)
        return hf_threaded_subscribe(me.threaded, channel, strlen(channel), &start);
    return hf_pool_subscribe(me.pool, channel, strlen(channel), &start);
}

static int unsubscribe(const char *channel)
{
    if (me.kind == CLIENT)
        return hf_client_unsubscribe(me.client, channel, strlen(channel));
    if (me.kind == THREADED)
        return hf_threaded_unsubscribe(me.threaded, channel, strlen(channel));
    return hf_pool_unsubscribe(me.pool, channel, strlen(channel));
}

static int ask_presence(const char *channel)
{
    if (me.kind == CLIENT)
        return hf_client_presence(me.client, channel, strlen(channel), NULL);
    if (me.kind == THREADED)
        return hf_threaded_presence(me.threaded, channel, strlen(channel), NULL);
    return hf_pool_presence(me.pool, channel, strlen(channel), NULL);
}

static int call(const char *method, const char *json)
{
    if (me.kind == CLIENT)
        return hf_client_call(me.client, method, strlen(method), json, strlen(json), NULL);
    if (me.kind == THREADED)
        return hf_threaded_call(me.threaded, method, strlen(method), json, strlen(json), NULL);
    return hf_pool_call(me.pool, method, strlen(method), json, strlen(json), NULL);
}

static int publish(const char *channel, const char *json)
{
    if (me.kind == CLIENT)
        return hf_client_publish(me.client, channel, strlen(channel), json, strlen(json), NULL, NULL);
    if (me.kind == THREADED)
        return hf_threaded_publish(me.threaded, channel, strlen(channel), json, strlen(json), NULL, NULL);
    return hf_pool_publish(me.pool, channel, channel, strlen(channel), json, strlen(json), NULL, NULL);
}

static int no_token(const char *why)
{
    if (me.kind == THREADED)
        return hf_threaded_token_failed(me.threaded, why);
    if (me.kind == POOL)
        return hf_pool_token_failed(me.pool, why);
    hf_client_token_failed(me.client, why);
    return 0;
}

static int close_it(void)
{
    if (me.kind == CLIENT)
        hf_client_close(me.client);
    else if (me.kind == THREADED)
        hf_threaded_close(me.threaded);
    else
        hf_pool_close(me.pool);
    return 0;
}

/* End the line at its first space, and step behind it; NULL: there is none. */
static char *cut(char **line)
{
    char *space = *line == NULL ? NULL : strchr(*line, ' ');

    if (space != NULL)
        *space++ = '\0';
    *line = space;
    return space;
}

static int obey(char *line)
{
    const char *word = line, *first = cut(&line), *rest = cut(&line);

    if (strcmp(word, "close") == 0)
        return close_it();
    if (first == NULL)
        return HF_CLIENT_EINVAL;
    if (strcmp(word, "subscribe") == 0 || strcmp(word, "watch") == 0)
        return subscribe(first, word[0] == 'w');
    if (strcmp(word, "unsubscribe") == 0)
        return unsubscribe(first);
    if (strcmp(word, "presence") == 0)
        return ask_presence(first);
    if (strcmp(word, "token") == 0)
        return give(first);
    if (strcmp(word, "no_token") == 0)
        return no_token(first);
    if (strcmp(word, "next") == 0)
        return set_next(first);
    if (rest != NULL && strcmp(word, "call") == 0)
        return call(first, rest);
    if (rest != NULL && strcmp(word, "publish") == 0)
        return publish(first, rest);
    return HF_CLIENT_EINVAL;
}

/* Returns whether there is more to come. */
static bool read_orders(void)
{
    ssize_t n = read(STDIN_FILENO, me.line + me.len, sizeof(me.line) - 1 - me.len);
    char *end;

    if (n <= 0)
        return false;
    me.len += (size_t)n;
    me.line[me.len] = '\0';
    while ((end = strchr(me.line, '\n')) != NULL) {
        int err;

        *end = '\0';
        err = obey(me.line);
        printf("ordered %s\n", err < 0 ? hf_client_strerror(err) : "ok");
        me.len -= (size_t)(end + 1 - me.line);
        memmove(me.line, end + 1, me.len + 1);
    }
    return true;
}

/* --- running --- */

static int run_client(void)
{
    struct pollfd fds[HF_CLIENT_POLL_MAX + 1];
    int running = 1, timeout_ms, count;

    while (running > 0) {
        count = hf_client_prepare(me.client, fds, &timeout_ms);
        fds[count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(fds, (nfds_t)count + 1, timeout_ms) < 0)
            return -1;
        if (fds[count].revents != 0 && !read_orders())
            return 0;
        running = hf_client_process(me.client, fds, count);
    }
    return running;
}

static struct hf_client_options options_of(char **argv, int argc)
{
    struct hf_client_options options;

    hf_client_options_init(&options);
    options.url = argv[2];
    if (getenv("HF_TEST_ENCODING") != NULL && strcmp(getenv("HF_TEST_ENCODING"), "json") == 0)
        options.encoding = HF_CLIENT_ENCODING_JSON;
    me.answers_itself = argc > 3 && strcmp(argv[3], "self") == 0;
    if (argc > 3 && !me.answers_itself)
        options.token = argv[3];
    options.call_timeout_ms = 120000;
    if (getenv("CALL_TIMEOUT_MS") != NULL)
        options.call_timeout_ms = strtoull(getenv("CALL_TIMEOUT_MS"), NULL, 10);
    options.on_connected = on_connected;
    options.on_disconnected = on_disconnected;
    options.on_ended = on_ended;
    options.on_message = on_message;
    options.on_subscribed = on_subscribed;
    options.on_unsubscribed = on_unsubscribed;
    options.on_result = on_result;
    options.on_problem = on_problem;
    options.on_members = on_members;
    options.on_presence = on_presence;
    options.on_reply = on_reply;
    options.on_token_needed = on_token_needed;
    return options;
}

static int run_threaded(const struct hf_client_options *client)
{
    struct hf_threaded_options options;
    int err;

    hf_threaded_options_init(&options);
    options.client = *client;
    err = hf_threaded_start(&options, &me.threaded);
    while (err == 0 && read_orders())
        ;
    hf_threaded_free(me.threaded);
    return err;
}

static int run_pool(const struct hf_client_options *client)
{
    struct hf_pool_options options;
    int err;

    hf_pool_options_init(&options);
    options.client = *client;
    options.on_connected = on_member_connected;
    options.on_disconnected = on_member_disconnected;
    options.on_member_ended = on_member_ended;
    options.on_message = on_message;
    options.on_subscribed = on_subscribed;
    options.on_unsubscribed = on_unsubscribed;
    options.on_result = on_result;
    options.on_problem = on_problem;
    options.on_members = on_members;
    options.on_presence = on_presence;
    options.on_reply = on_reply;
    options.on_token_needed = on_token_needed;
    err = hf_pool_start(&options, &me.pool);
    while (err == 0 && read_orders())
        ;
    hf_pool_free(me.pool);
    return err;
}

int main(int argc, char **argv)
{
    struct hf_client_options options;
    int err;

    if (argc < 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    options = options_of(argv, argc);
    me.kind = strcmp(argv[1], "client") == 0 ? CLIENT : strcmp(argv[1], "threaded") == 0 ? THREADED : POOL;
    if (me.answers_itself && !read_orders()) /* `next` comes first, so that no callback finds nothing. */
        return 2;
    if (me.kind == THREADED) {
        err = run_threaded(&options);
    } else if (me.kind == POOL) {
        err = run_pool(&options);
    } else {
        err = hf_client_new(&options, &me.client);
        err = err < 0 ? err : run_client();
        hf_client_free(me.client);
    }
    return err < 0 ? 1 : 0;
}
