/*
 * vector_file.h - vectors of events (tests/vectors/README.md): files of JSON that are found, played by a test, and compared with what the
 * test saw. A test program that includes it plays each file of a folder as a test of its own; with --update it writes into the files what
 * it saw, to be read and committed.
 *
 * A vector has a timeline: entries with `in` are what happens, entries with `out` what the code under test does about it. A player walks the
 * former, and says each of the latter by vector_out().
 */
#ifndef TEST_VECTOR_FILE_H
#define TEST_VECTOR_FILE_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { VECTORS_MAX = 500, VECTOR_PATH_MAX = 1024 };

struct vector {
    const char *path;
    json_t *root;   /* the file */
    json_t *wanted; /* its timeline */
    json_t *seen;   /* the same, as it was played */
};

static bool vector_update; /* --update */

/* --- reading --- */

static inline json_t *vector_load(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

    if (root == NULL)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return root;
}

static inline uint64_t vector_u64(const json_t *object, const char *name, uint64_t otherwise)
{
    const json_t *value = json_object_get(object, name);

    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

/* NULL where it is not there. */
static inline const char *vector_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static inline bool vector_is(const json_t *object, const char *name, const char *text)
{
    const char *value = vector_text(object, name);

    return value != NULL && strcmp(value, text) == 0;
}

static inline bool vector_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

/* 64 bits do not fit into a JSON number everywhere: hexadecimal digits in a string. */
static inline uint64_t vector_hex(const json_t *object, const char *name)
{
    const char *text = vector_text(object, name);

    return text == NULL ? 0 : strtoull(text, NULL, 16);
}

/* --- writing --- */

/* A member in front of the others: an entry reads from its time on. */
static inline json_t *vector_entry(uint64_t at_ms, const char *kind, const char *name, json_t *members)
{
    json_t *entry = json_pack("{s:I, s:s}", "at", (json_int_t)at_ms, kind, name);

    assert_non_null(entry);
    json_object_update(entry, members);
    json_decref(members);
    return entry;
}

/* The code under test did this. Takes members. */
static inline void vector_out(struct vector *v, uint64_t at_ms, const char *name, json_t *members)
{
    assert_non_null(members);
    json_array_append_new(v->seen, vector_entry(at_ms, "out", name, members));
}

/* An entry a line: a difference is read by people. */
static inline void vector_write(struct vector *v)
{
    FILE *f = fopen(v->path, "w");
    const char *name;
    json_t *value;
    size_t i;

    assert_non_null(f);
    (void)fprintf(f, "{\n");
    json_object_foreach(v->root, name, value)
    {
        if (value == v->wanted)
            continue;
        (void)fprintf(f, "  \"%s\": ", name);
        json_dumpf(value, f, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        (void)fprintf(f, ",\n");
    }
    (void)fprintf(f, "  \"timeline\": [\n");
    json_array_foreach(v->seen, i, value)
    {
        (void)fprintf(f, json_object_get(value, "in") != NULL ? "    " : "      ");
        json_dumpf(value, f, JSON_ENSURE_ASCII);
        (void)fprintf(f, i + 1 < json_array_size(v->seen) ? ",\n" : "\n");
    }
    (void)fprintf(f, "  ]\n}\n");
    assert_int_equal(fclose(f), 0);
}

/* --- comparing --- */

static inline void vector_print(const char *what, const json_t *entry)
{
    char *text = entry == NULL ? NULL : json_dumps(entry, 0);

    print_error("  %s %s\n", what, text == NULL ? "nothing more" : text);
    free(text);
}

static inline void vector_compare(const struct vector *v)
{
    size_t i = 0;

    while (i < json_array_size(v->wanted) &&
           json_equal(json_array_get(v->wanted, i), json_array_get(v->seen, i)))
        i++;
    if (i == json_array_size(v->wanted) && i == json_array_size(v->seen))
        return;
    print_error("%s: entry %zu of the timeline differs\n", v->path, i);
    vector_print("wanted:", json_array_get(v->wanted, i));
    vector_print("seen:  ", json_array_get(v->seen, i));
    fail();
}

/* --- a test for each file --- */

/* What a player does with a vector; variant: 0 … variants - 1, which all see the same. */
typedef void vector_player(struct vector *v, unsigned variant);

struct vector_suite {
    const char *name;
    const char *const *folders; /* in tests/vectors; NULL behind the last */
    size_t least;               /* so many files at least, so that nobody plays an empty folder */
    unsigned variants;
    vector_player *play;
};

static const struct vector_suite *vector_suite_now;

static inline void vector_play(void **state)
{
    const struct vector_suite *suite = vector_suite_now;
    unsigned variant;

    for (variant = 0; variant < suite->variants; variant++) {
        struct vector v = {.path = *state, .root = vector_load(*state), .seen = json_array()};

        v.wanted = json_object_get(v.root, "timeline");
        if (!json_is_array(v.wanted) || vector_text(v.root, "about") == NULL)
            fail_msg("%s has no \"timeline\" or does not say in \"about\" what it shows", v.path);
        suite->play(&v, variant);
        if (vector_update && variant == 0)
            vector_write(&v);
        else
            vector_compare(&v);
        json_decref(v.seen);
        json_decref(v.root);
    }
}

static inline int vector_by_name(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

static struct CMUnitTest vector_tests[VECTORS_MAX];
static char vector_paths[VECTORS_MAX][VECTOR_PATH_MAX];

/* The tests of a folder, behind `count` others; returns how many there are now. */
static inline size_t vector_find(const char *folder, size_t count)
{
    const char *root = getenv("HF_SOURCE_ROOT");
    char path[VECTOR_PATH_MAX / 2];
    struct dirent *e;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%s/tests/vectors/%s", root == NULL ? "." : root, folder);
    dir = opendir(path);
    while (dir != NULL && (e = readdir(dir)) != NULL && count < VECTORS_MAX) {
        size_t len = strlen(e->d_name);

        if (len < 5 || strcmp(e->d_name + len - 5, ".json") != 0)
            continue;
        (void)snprintf(vector_paths[count], VECTOR_PATH_MAX, "%s/%s", path, e->d_name);
        vector_tests[count] = (struct CMUnitTest){.name = strrchr(vector_paths[count], '/') + 1,
                                                  .test_func = vector_play,
                                                  .initial_state = vector_paths[count]};
        count++;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

/* Play all files of a suite. Returns how many failed. */
static inline int vector_run(const struct vector_suite *suite)
{
    size_t count = 0, i;

    for (i = 0; suite->folders[i] != NULL; i++)
        count = vector_find(suite->folders[i], count);
    if (count < suite->least) {
        (void)fprintf(stderr,
                      "%zu vectors where at least %zu are; HF_SOURCE_ROOT is to name the source tree\n",
                      count, suite->least);
        return 1;
    }
    qsort(vector_tests, count, sizeof(vector_tests[0]), vector_by_name);
    vector_suite_now = suite;
    return _cmocka_run_group_tests(suite->name, vector_tests, count, NULL, NULL);
}

/* The command line of such a program. */
static inline void vector_arguments(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--update") != 0) {
            (void)fprintf(stderr, "usage: %s [--update]\n--update writes into the vectors what was seen\n",
                          argv[0]);
            exit(2);
        }
        vector_update = true;
    }
}

#endif
