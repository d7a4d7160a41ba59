/*
 * token.c - `holdfast token make|show|api-key`: makes tokens for tests and for whoever has no library at hand, looks into those that a server refuses, and makes keys
 * of the HTTP API. Nothing here talks to a server.
 */
#include "base/base64.h"
#include "base/buf.h"
#include "cli/commands.h"
#include "server/auth.h"
#include "server/jwt.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    ERROR_MAX = 512,
    API_KEY_BYTES = 32,
    SECONDS_MOST = 10 * 366 * 86400, /* of --expires: ten years */
};

enum {
    OPT_KEY = 1,
    OPT_ALG,
    OPT_KID,
    OPT_USER,
    OPT_EXPIRES,
    OPT_NOT_BEFORE,
    OPT_AUDIENCE,
    OPT_ISSUER,
    OPT_INFO,
    OPT_CLAIM,
    OPT_LEEWAY,
    OPT_READ,
};

static const struct option options[] = {
    {"key", required_argument, NULL, OPT_KEY},
    {"alg", required_argument, NULL, OPT_ALG},
    {"kid", required_argument, NULL, OPT_KID},
    {"user", required_argument, NULL, OPT_USER},
    {"expires", required_argument, NULL, OPT_EXPIRES},
    {"not-before", required_argument, NULL, OPT_NOT_BEFORE},
    {"audience", required_argument, NULL, OPT_AUDIENCE},
    {"issuer", required_argument, NULL, OPT_ISSUER},
    {"info", required_argument, NULL, OPT_INFO},
    {"claim", required_argument, NULL, OPT_CLAIM},
    {"leeway", required_argument, NULL, OPT_LEEWAY},
    {"read", no_argument, NULL, OPT_READ},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "Usage: holdfast token make --key FILE --user NAME [OPTION...]\n"
    "       holdfast token show [OPTION...] [TOKEN]\n"
    "       holdfast token api-key NAME [--read]\n"
    "Make and look into the tokens (JWT) that clients show, and make keys of the HTTP API.\n\n"
    "make writes a token to standard output:\n"
    "  --key FILE            the key: a secret of 32 bytes and more, or a private key in PEM\n"
    "  --alg ALG             " HF_JWT_ALG_NAMES " (HS256)\n"
    "  --kid KID             the key's name in auth.keys\n"
    "  --user NAME           whose token it is (sub)\n"
    "  --expires TIME        it ends in so long: 90s, 15m, 1h, 7d (1h); never: it does not end\n"
    "  --not-before TIME     it is good from so long on from now\n"
    "  --audience NAME       for whom it is (aud); --issuer NAME: who made it (iss)\n"
    "  --info JSON           what presence tells about the user\n"
    "  --claim NAME=VALUE    another claim; VALUE is JSON, or else a string; may be given again\n\n"
    "show writes what a token says; without TOKEN it is read from standard input. With --key (a secret,\n"
    "or the public key) it also tells whether a server with that key takes it, and why not:\n"
    "  --key, --alg, --kid, --audience, --issuer as above and as in the server's configuration\n"
    "  --leeway TIME         as auth.leeway (10s)\n\n"
    "api-key makes a key for the HTTP API, and the line for api.keys; with --read it may change nothing.\n";

struct token {
    const char *key, *kid, *user, *audience, *issuer;
    enum hf_jwt_alg alg;
    uint32_t expires_s; /* 0: never */
    uint32_t not_before_s, leeway_s;
    bool has_not_before, read_only;
    json_t *claims; /* of --claim and --info */
};

static int usage(const char *problem, const char *what)
{
    fprintf(stderr, "holdfast token: %s%s\n", problem, what);
    return HF_EXIT_USAGE;
}

static int failed(const char *problem, const char *what)
{
    fprintf(stderr, "holdfast token: %s%s\n", problem, what);
    return HF_EXIT_FAILED;
}

/* ---- Options ---- */

/* "90s", "15m", "1h", "7d". Returns false where it is none, or longer than ten years. */
static bool read_seconds(const char *text, uint32_t *out)
{
    static const struct {
        char name;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    unsigned long n;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    n = strtoul(text, &end, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (end[0] == units[i].name && end[1] == '\0' && errno == 0 && n <= SECONDS_MOST / units[i].seconds) {
            *out = (uint32_t)n * units[i].seconds;
            return true;
        }
    return false;
}

static int set_time(const char *value, const char *name, uint32_t *out)
{
    return read_seconds(value, out) ? 0 : usage("a time is 90s, 15m, 1h or 7d, up to ten years: ", name);
}

static int set_claim(struct token *t, const char *name, size_t name_len, const char *value, bool only_json)
{
    json_t *json = json_loads(value, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);

    if (json == NULL && only_json)
        return usage("--info must be JSON: ", value);
    if (json == NULL)
        json = json_string(value);
    if (json == NULL || json_object_setn_new(t->claims, name, name_len, json) < 0)
        return usage("must be UTF-8: ", value);
    return 0;
}

static int add_claim(struct token *t, const char *text)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals == text)
        return usage("--claim must be NAME=VALUE: ", text);
    return set_claim(t, text, (size_t)(equals - text), equals + 1, false);
}

static int set_expires(struct token *t, const char *value)
{
    t->expires_s = 0;
    return strcmp(value, "never") == 0 ? 0 : set_time(value, value, &t->expires_s);
}

static int apply(struct token *t, int option, const char *value)
{
    switch (option) {
    case OPT_KEY:
        t->key = value;
        return 0;
    case OPT_ALG:
        return hf_jwt_alg_find(hf_str_from(value), &t->alg) == 0
                   ? 0
                   : usage("--alg must be one of " HF_JWT_ALG_NAMES ": ", value);
    case OPT_KID:
        t->kid = value;
        return strlen(value) <= HF_KID_MAX ? 0 : usage("--kid is too long: ", value);
    case OPT_USER:
        t->user = value;
        return 0;
    case OPT_EXPIRES:
        return set_expires(t, value);
    case OPT_NOT_BEFORE:
        t->has_not_before = true;
        return set_time(value, value, &t->not_before_s);
    case OPT_AUDIENCE:
        t->audience = value;
        return 0;
    case OPT_ISSUER:
        t->issuer = value;
        return 0;
    case OPT_INFO:
        return set_claim(t, "info", 4, value, true);
    case OPT_CLAIM:
        return add_claim(t, value);
    case OPT_LEEWAY:
        return set_time(value, value, &t->leeway_s);
    default:
        t->read_only = true;
        return 0;
    }
}

/* Returns 0, HF_EXIT_USAGE after having said why, or -1 where help was asked for. */
static int read_options(struct token *t, int argc, char **argv)
{
    int option, status = 0;

    opterr = 0;
    optind = 0;
    while (status == 0 && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == ':')
            return usage("a value is missing behind ", argv[optind - 1]);
        if (option == '?')
            return usage("unknown option, or one that takes no value: ", argv[optind - 1]);
        if (option == 'h')
            return -1;
        status = apply(t, option, optarg);
    }
    return status;
}

/* Returns NULL after having said why. */
static struct hf_jwt_key *load_key(const struct token *t, bool private_too)
{
    char error[ERROR_MAX];
    struct hf_jwt_key *key;

    if (hf_jwt_key_load(t->alg, t->key, private_too, &key, error, sizeof(error)) < 0)
        (void)failed("", error);
    return key;
}

/* ---- make ---- */

static bool put_text_claim(json_t *claims, const char *name, const char *value)
{
    return value[0] == '\0' || json_object_set_new(claims, name, json_string(value)) == 0;
}

static bool put_time_claim(json_t *claims, const char *name, time_t at)
{
    return json_object_set_new(claims, name, json_integer(at)) == 0;
}

static bool fill_claims(struct token *t)
{
    time_t now = time(NULL);

    return put_text_claim(t->claims, "sub", t->user) && put_text_claim(t->claims, "aud", t->audience) &&
           put_text_claim(t->claims, "iss", t->issuer) && put_time_claim(t->claims, "iat", now) &&
           (!t->has_not_before || put_time_claim(t->claims, "nbf", now + (time_t)t->not_before_s)) &&
           (t->expires_s == 0 || put_time_claim(t->claims, "exp", now + (time_t)t->expires_s));
}

/* What no server would take is told now. */
static int check_claims(struct token *t)
{
    struct hf_identity *identity;
    const char *why;

    if (!fill_claims(t))
        return failed("out of memory, or a name is no UTF-8", "");
    if (hf_identity_new(t->claims, 0, &identity, &why) < 0)
        return failed(why == NULL ? "out of memory" : why, "");
    hf_identity_drop(identity);
    return 0;
}

static int make(struct token *t)
{
    struct hf_jwt_key *key;
    struct hf_buf out;
    int err, status = check_claims(t);

    if (status != 0)
        return status;
    key = load_key(t, true);
    if (key == NULL)
        return HF_EXIT_FAILED;
    hf_buf_init(&out, HF_TOKEN_BYTES_MAX);
    err = hf_jwt_make(key, t->kid, t->claims, &out);
    if (err == HF_EINVAL)
        status = failed(t->key, ": is the public key; a token is signed with the private one");
    else if (err < 0)
        status =
            failed(err == HF_ELIMIT ? "the token would be longer than 4,096 bytes" : "out of memory", "");
    else if (printf("%.*s\n", (int)out.len, (const char *)out.data) < 0 || fflush(stdout) != 0)
        status = failed("cannot write the token: ", strerror(errno));
    hf_buf_release(&out);
    hf_jwt_key_free(key);
    return status;
}

/* ---- show ---- */

static void print_json(const char *what, const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2));

    printf("%s %s\n", what, text == NULL ? "?" : text);
    free(text);
}

static void print_time(const json_t *claims, const char *name, const char *what)
{
    const json_t *value = json_object_get(claims, name);
    time_t at = (time_t)json_number_value(value), now = time(NULL);
    struct tm tm;
    char text[32];

    if (!json_is_number(value) || gmtime_r(&at, &tm) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return;
    printf("%s %s, %jd s %s\n", what, text, (intmax_t)(at > now ? at - now : now - at),
           at > now ? "from now" : "ago");
}

/* Would a server take it? Returns the exit status. */
static int judge(const struct token *t, struct hf_str text)
{
    const struct hf_auth_rules rules = {
        .audience = t->audience, .issuer = t->issuer, .leeway_ms = t->leeway_s * 1000};
    struct hf_jwt_key *key = load_key(t, true);
    struct hf_auth *auth = key == NULL ? NULL : hf_auth_new(&rules);
    struct hf_token_verdict verdict = {HF_TOKEN_GOOD, "out of memory"};
    struct hf_identity *identity = NULL;

    if (auth == NULL || hf_auth_add(auth, t->kid, key) < 0) {
        hf_jwt_key_free(key);
        hf_auth_free(auth);
        return key == NULL ? HF_EXIT_FAILED : failed("out of memory", "");
    }
    if (hf_auth_check(auth, text, (uint64_t)time(NULL) * 1000, &identity, &verdict) < 0)
        printf("refused: %s\n", verdict.why == NULL ? "out of memory" : verdict.why);
    else
        printf("good: it is of user %.*s\n", (int)identity->user.len, identity->user.data);
    hf_auth_free(auth);
    hf_identity_drop(identity);
    return identity == NULL ? HF_EXIT_FAILED : HF_EXIT_OK;
}

static int show(const struct token *t, struct hf_str text)
{
    struct hf_jwt jwt;
    json_t *claims;
    const char *why;

    if (hf_jwt_parse(&jwt, text, &why) < 0)
        return failed(why, "");
    print_json("header", jwt.header);
    if (hf_jwt_claims(&jwt, &claims, &why) < 0) {
        hf_jwt_release(&jwt);
        return failed(why, "");
    }
    print_json("claims", claims);
    print_time(claims, "nbf", "begins ");
    print_time(claims, "exp", "ends   ");
    json_decref(claims);
    hf_jwt_release(&jwt);
    if (t->key != NULL)
        return judge(t, text);
    printf("its signature was not looked at: give --key\n");
    return HF_EXIT_OK;
}

/* One line of standard input. Returns its length, or -1 where it is too long. */
static ssize_t read_line(char *out, size_t cap)
{
    size_t len = fread(out, 1, cap, stdin);

    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == '\r'))
        len--;
    return len == cap ? -1 : (ssize_t)len;
}

static int show_argument(const struct token *t, const char *argument)
{
    char line[HF_TOKEN_BYTES_MAX + 16];
    ssize_t len;

    if (argument != NULL && strcmp(argument, "-") != 0)
        return show(t, hf_str_from(argument));
    len = read_line(line, sizeof(line));
    return len < 0 ? failed("what stands on standard input is longer than a token", "")
                   : show(t, (struct hf_str){line, (size_t)len});
}

/* ---- api-key ---- */

static int api_key(const struct token *t, const char *name)
{
    uint8_t random[API_KEY_BYTES], hash[HF_API_HASH_BYTES];
    char key[64] = "hfk_", hex[2 * HF_API_HASH_BYTES + 1];
    size_t prefix = strlen(key), len = prefix + hf_base64url_chars(sizeof(random));

    if (strlen(name) > HF_API_NAME_MAX || name[0] == '\0' || strpbrk(name, "=, \t\n") != NULL)
        return usage("a name is 1 to 64 characters, none of them a space, comma or '=': ", name);
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return failed("no random bytes: ", strerror(errno));
    hf_base64url_encode(key + prefix, random, sizeof(random));
    key[len] = '\0';
    if (EVP_Digest(key, len, hash, NULL, EVP_sha256(), NULL) != 1)
        return failed("OpenSSL computes no SHA-256 here", "");
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    printf("%s\n", key);
    fprintf(stderr, "the key is shown this once; for the configuration, api.keys:\n");
    fprintf(stderr, "  - %s=%s:%s\n", name, t->read_only ? "read" : "full", hex);
    return fflush(stdout) == 0 ? HF_EXIT_OK : failed("cannot write the key: ", strerror(errno));
}

/* ---- */

static int run(struct token *t, const char *verb, int count, char **arguments)
{
    if (strcmp(verb, "make") == 0) {
        if (count > 0)
            return usage("make takes no argument: ", arguments[0]);
        if (t->key == NULL || t->user[0] == '\0')
            return usage("make needs --key FILE and --user NAME", "");
        return make(t);
    }
    if (strcmp(verb, "show") == 0)
        return count > 1 ? usage("show takes one token: ", arguments[1])
                         : show_argument(t, count == 0 ? NULL : arguments[0]);
    if (strcmp(verb, "api-key") == 0)
        return count == 1 ? api_key(t, arguments[0]) : usage("api-key needs one NAME", "");
    return usage("make, show or api-key is expected: ", verb);
}

int hf_cli_token(int argc, char **argv)
{
    struct token t = {.kid = "",
                      .user = "",
                      .audience = "",
                      .issuer = "",
                      .expires_s = 3600,
                      .leeway_s = 10,
                      .claims = json_object()};
    int status = t.claims == NULL ? failed("out of memory", "") : read_options(&t, argc, argv);

    if (status < 0)
        status = fputs(help, stdout) < 0 ? HF_EXIT_FAILED : HF_EXIT_OK;
    else if (status == 0 && optind == argc)
        status = usage("make, show or api-key is expected (try `holdfast token --help`)", "");
    else if (status == 0)
        status = run(&t, argv[optind], argc - optind - 1, argv + optind + 1);
    json_decref(t.claims);
    return status;
}
