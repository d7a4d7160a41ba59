/*
 * driver.c - runs a fuzz target without libFuzzer: first each file of the corpus as it is, then mutations of them.
 *
 *   fuzz_x [--seed=N] [--mutations=N] [--seconds=N] FILE-OR-FOLDER...
 *
 * Mutation i depends on the corpus, the seed and i alone, so that a failure comes again in every run and on every machine.
 * An input that ends the process (a failed assertion, a sanitizer's report, a test's timeout) is left in "crash-input" in
 * the working directory; give that file as the only argument, with --mutations=0, to repeat it.
 */
#include "base/rng.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Inputs are kept small: what a parser gets wrong, it mostly gets wrong within a few hundred bytes. A seed may be longer. */
enum { INPUT_BYTES_MAX = 65536, SEEDS_MAX = 1024, INSERT_BYTES_MAX = 64 };

struct seed {
    uint8_t *data;
    size_t len;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct seed seeds[SEEDS_MAX];
static size_t seed_count;

/* What is under test right now, for the signal handler. */
static const uint8_t *volatile running;
static volatile size_t running_len;

static void leave_input(int signal_number)
{
    static const char told[] = "fuzz: the input lies in crash-input\n";
    int fd = open("crash-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd >= 0 && write(fd, running, running_len) == (ssize_t)running_len)
        (void)!write(STDERR_FILENO, told, sizeof(told) - 1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void die(const char *what, const char *name)
{
    fprintf(stderr, "fuzz: %s: %s\n", name, what);
    exit(2);
}

/* Run on a heap copy of exactly this size, so that a sanitizer sees the first byte read beyond it. */
static void run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    if (copy == NULL)
        die("out of memory", "input");
    if (len > 0)
        memcpy(copy, data, len);
    running = copy;
    running_len = len;
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void add_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct seed *s = &seeds[seed_count];

    if (f == NULL)
        die("cannot be opened", path);
    if (seed_count == SEEDS_MAX)
        die("one seed too many", path);
    s->data = malloc(INPUT_BYTES_MAX);
    if (s->data == NULL)
        die("out of memory", path);
    s->len = fread(s->data, 1, INPUT_BYTES_MAX, f);
    if (ferror(f) || !feof(f))
        die("cannot be read, or is too long", path);
    fclose(f);
    seed_count++;
}

static int no_dot_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void add_path(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int count;

    if (stat(path, &st) < 0)
        die("not there", path);
    if (!S_ISDIR(st.st_mode)) {
        add_file(path);
        return;
    }
    /* Sorted, because the order of a folder differs between machines and the mutations depend on it. */
    count = scandir(path, &entries, no_dot_file, alphasort);
    if (count < 0)
        die("cannot be listed", path);
    for (int i = 0; i < count; i++) {
        char name[4096];

        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        add_file(name);
        free(entries[i]);
    }
    free(entries);
}

static size_t insert(uint8_t *data, size_t len, size_t at, const uint8_t *from, size_t n)
{
    if (n > INPUT_BYTES_MAX - len)
        n = INPUT_BYTES_MAX - len;
    memmove(data + at + n, data + at, len - at);
    memcpy(data + at, from, n);
    return len + n;
}

static size_t erase(uint8_t *data, size_t len, size_t at, size_t n)
{
    if (n > len - at)
        n = len - at;
    memmove(data + at, data + at + n, len - at - n);
    return len - n;
}

/* Bytes at which parsers turn: signs, limits of lengths and of UTF-8, and what separates things in text. */
static uint8_t odd_byte(struct hf_rng *rng)
{
    static const uint8_t odd[] = {0x00, 0x01, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0xc0, 0xe0, 0xed,
                                  0xf4, 0xfe, 0xff, '\r', '\n', '\t', ' ',  ':',  ',',  '"',
                                  '\\', '{',  '}',  '[',  ']',  '0',  '-',  '%'};

    return odd[hf_rng_below(rng, sizeof(odd))];
}

/* One change. data has room for INPUT_BYTES_MAX. */
static size_t mutate(struct hf_rng *rng, uint8_t *data, size_t len)
{
    size_t at = hf_rng_below(rng, len + 1);
    size_t n = 1 + hf_rng_below(rng, INSERT_BYTES_MAX);
    const struct seed *other = &seeds[hf_rng_below(rng, seed_count)];
    size_t from = hf_rng_below(rng, other->len + 1);
    uint8_t byte = odd_byte(rng), piece[INSERT_BYTES_MAX];

    switch (hf_rng_below(rng, 8)) {
    case 0: /* flip a bit */
        if (at < len)
            data[at] ^= (uint8_t)(1u << hf_rng_below(rng, 8));
        return len;
    case 1: /* any byte */
        if (at < len)
            data[at] = (uint8_t)hf_rng_next(rng);
        return len;
    case 2: /* an odd byte */
        if (at < len)
            data[at] = byte;
        return len;
    case 3:
        return insert(data, len, at, &byte, 1);
    case 4:
        return erase(data, len, at, n);
    case 5: /* the end is missing */
        return at;
    case 6: /* repeat a piece of itself */
        n = n < len - at ? n : len - at;
        memcpy(piece, data + at, n);
        return insert(data, len, at, piece, n);
    default: /* a piece of another seed */
        n = n < other->len - from ? n : other->len - from;
        return insert(data, len, at, other->data + from, n);
    }
}

static void run_mutation(uint64_t seed, uint64_t i)
{
    static uint8_t data[INPUT_BYTES_MAX];
    struct hf_rng rng = {seed * 0x9e3779b97f4a7c15u + i};
    const struct seed *s = &seeds[hf_rng_below(&rng, seed_count)];
    size_t len = s->len;

    memcpy(data, s->data, len);
    for (uint64_t changes = 1 + hf_rng_below(&rng, 6); changes > 0; changes--)
        len = mutate(&rng, data, len);
    run(data, len);
}

static bool option(const char *arg, const char *name, uint64_t *out)
{
    size_t n = strlen(name);

    if (strncmp(arg, name, n) != 0)
        return false;
    *out = strtoull(arg + n, NULL, 10);
    return true;
}

int main(int argc, char **argv)
{
    static const int ends[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM};
    uint64_t seed = 1, mutations = 100000, seconds = 3600, i;
    time_t start = time(NULL);

    for (int a = 1; a < argc; a++) {
        if (!option(argv[a], "--seed=", &seed) && !option(argv[a], "--mutations=", &mutations) &&
            !option(argv[a], "--seconds=", &seconds))
            add_path(argv[a]);
    }
    if (seed_count == 0)
        die("no corpus", argv[0]);
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++)
        signal(ends[k], leave_input);
    for (size_t k = 0; k < seed_count; k++)
        run(seeds[k].data, seeds[k].len);
    for (i = 0; i < mutations && (uint64_t)(time(NULL) - start) < seconds; i++)
        run_mutation(seed, i);
    printf("%zu seeds, %llu mutations\n", seed_count, (unsigned long long)i);
    while (seed_count > 0)
        free(seeds[--seed_count].data);
    return 0;
}
