/* The options' copy: it has every string that the public header knows, and each of its own. */
#include "client/options.h"
#include "fault_malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { URLS = 3 };

#define X(name) #name,
static const char *const known[] = {HF_CLIENT_OPTION_STRINGS(X)};
#undef X
enum { KNOWN = sizeof(known) / sizeof(known[0]) };

/* --- the header --- */

static bool is_known(const char *name)
{
    size_t i;

    for (i = 0; i < KNOWN; i++)
        if (strcmp(known[i], name) == 0)
            return true;
    return false;
}

static FILE *open_header(void)
{
    const char *root = getenv("HF_SOURCE_ROOT");
    char path[4096];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/include/holdfast/holdfast.h", root == NULL ? "." : root);
    file = fopen(path, "r");
    assert_non_null(file);
    return file;
}

/* The name of a field that is declared in this line with this type; false: the line says something else. */
static bool field_of(const char *line, const char *type, char name[128])
{
    size_t from = strspn(line, " "), len;

    if (from != 4 || strncmp(line + from, type, strlen(type)) != 0)
        return false;
    from += strlen(type);
    len = strcspn(line + from, ";");
    assert_true(line[from + len] == ';' && len < 128);
    memcpy(name, line + from, len);
    name[len] = '\0';
    return true;
}

/* Who adds a string to the options adds it to the list in client/options.h: else it would be freed by the application while it is in use. */
static void every_string_of_the_header_is_in_the_list(void **state)
{
    FILE *file = open_header();
    unsigned strings = 0, lists = 0;
    bool inside = false;
    char line[1024], name[128];

    (void)state;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "struct hf_client_options {", 26) == 0)
            inside = true;
        else if (inside && strncmp(line, "};", 2) == 0)
            break;
        if (!inside)
            continue;
        if (field_of(line, "const char *const *", name)) {
            assert_string_equal(name, "urls");
            lists++;
        } else if (field_of(line, "const char *", name)) {
            if (!is_known(name))
                fail_msg("%s is a string of the options, and HF_CLIENT_OPTION_STRINGS does not have it",
                         name);
            strings++;
        } else {
            assert_false(field_of(line, "char ", name));
        }
    }
    (void)fclose(file);
    assert_int_equal(strings, KNOWN);
    assert_int_equal(lists, 1);
}

/* --- the copy --- */

/* Options with all strings set, each to its own name; they are the caller's, in `bytes`. */
static void fill(struct hf_client_options *o, char bytes[KNOWN + URLS][32], const char *urls[URLS])
{
    unsigned n = 0, i;

    hf_client_options_init(o);
#define X(name)                                                                                              \
    (void)snprintf(bytes[n], sizeof(bytes[n]), "%s", #name);                                                 \
    o->name = bytes[n++];
    HF_CLIENT_OPTION_STRINGS(X)
#undef X
    for (i = 0; i < URLS; i++) {
        (void)snprintf(bytes[n], sizeof(bytes[n]), "url %u", i);
        urls[i] = bytes[n++];
    }
    o->urls = urls;
    o->urls_count = URLS;
}

static void check_copy(const struct hf_client_options *copy)
{
    char url[32];
    unsigned i;

#define X(name) assert_string_equal(copy->name, #name);
    HF_CLIENT_OPTION_STRINGS(X)
#undef X
    assert_int_equal(copy->urls_count, URLS);
    for (i = 0; i < URLS; i++) {
        (void)snprintf(url, sizeof(url), "url %u", i);
        assert_string_equal(copy->urls[i], url);
    }
}

static void a_copy_has_strings_of_its_own(void **state)
{
    char bytes[KNOWN + URLS][32];
    const char *urls[URLS];
    struct hf_client_options o, copy;

    (void)state;
    fill(&o, bytes, urls);
    o.window = 17;
    o.user = bytes;
    assert_int_equal(hf_client_options_copy(&copy, &o), 0);
    memset(bytes, 'x', sizeof(bytes)); /* Without an end: whoever reads on is seen. */
    memset(urls, 0, sizeof(urls));
    check_copy(&copy);
    assert_int_equal(copy.window, 17);
    assert_ptr_equal(copy.user, bytes);
    hf_client_options_release(&copy);
#define X(name) assert_null(copy.name);
    HF_CLIENT_OPTION_STRINGS(X)
#undef X
    assert_true(copy.urls == NULL && copy.urls_count == 0);
    hf_client_options_release(&copy);
}

static void what_is_not_set_is_not_set_in_the_copy(void **state)
{
    static const char *const urls[] = {"a", NULL}; /* Told apart by who uses it. */
    struct hf_client_options o = {.urls = urls, .urls_count = 2}, copy;

    (void)state;
    assert_int_equal(hf_client_options_copy(&copy, &o), 0);
    assert_true(copy.url == NULL && copy.proxy == NULL && copy.token == NULL);
    assert_string_equal(copy.urls[0], "a");
    assert_null(copy.urls[1]);
    hf_client_options_release(&copy);
    o.urls = NULL;
    assert_int_equal(hf_client_options_copy(&copy, &o), HF_EINVAL);
    hf_client_options_release(&copy);
}

static void copying_survives_want_of_memory(void **state)
{
    char bytes[KNOWN + URLS][32];
    const char *urls[URLS];
    struct hf_client_options o, copy;
    unsigned n;
    int err;

    (void)state;
    fill(&o, bytes, urls);
    for (n = 1;; n++) {
        fault_arm(n);
        err = hf_client_options_copy(&copy, &o);
        if (!fault_disarm())
            break;
        assert_int_equal(err, HF_ENOMEM);
        assert_true(copy.url == NULL && copy.urls == NULL);
    }
    assert_int_equal(err, 0);
    assert_int_equal(n, KNOWN + URLS + 2); /* each string, the list, and the one that does not fail */
    hf_client_options_release(&copy);
}

/* --- who uses it --- */

/* A client lives on with its own: its first connection needs them, long after the call. */
static void a_client_is_made_of_copies(void **state)
{
    char url[] = "ws://127.0.0.1:1/ws", proxy[] = "http://127.0.0.1:1", token[] = "secret";
    struct hf_client_options o;
    struct hf_client *client;
    const char *urls[] = {url, url};
    int turns;

    (void)state;
    hf_client_options_init(&o);
    o.url = NULL;
    o.urls = urls;
    o.urls_count = 2;
    o.proxy = proxy;
    o.token = token;
    assert_int_equal(hf_client_new(&o, &client), 0);
    memset(url, 'x', sizeof(url));
    memset(proxy, 'x', sizeof(proxy));
    memset(token, 'x', sizeof(token));
    memset(urls, 0, sizeof(urls));
    for (turns = 0; turns < 5; turns++)
        assert_int_equal(hf_client_step(client, 0), 1);
    hf_client_free(client);
    o.urls = NULL;
    assert_int_equal(hf_client_new(&o, &client), HF_CLIENT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_string_of_the_header_is_in_the_list),
        cmocka_unit_test(a_copy_has_strings_of_its_own),
        cmocka_unit_test(what_is_not_set_is_not_set_in_the_copy),
        cmocka_unit_test(copying_survives_want_of_memory),
        cmocka_unit_test(a_client_is_made_of_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
