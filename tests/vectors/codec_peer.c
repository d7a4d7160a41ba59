/*
 * codec_peer.c - the C codec of the binary form for a program in another language, so that the two can be fuzzed against each other.
 *
 * One request a line on standard input, one answer a line on standard output, in their order; each answer is flushed at once.
 *   decode server HEX    the records of a WebSocket message that a server sent ("decode client HEX": a client), as one JSON array:
 *                        {"message": M}, {"error": KEY, "type": T, "seq"?: N, "id"?: S}, {"framing": KEY}; see meaning.h
 *   encode server M      one message, given as the JSON of meaning.h, as HEX of its record ("encode client M")
 * An answer that begins with "! " says in words what is wrong with the request. HEX is lower case, and may be empty.
 * A decoded message passes through the encoder as well: if that does not give back what it was, the answer begins with "! ".
 */
#include "meaning.h"

#include "wire/binary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In its place. Returns the number of bytes, or -1. */
static long from_hex(char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i + 1 < len; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

        if (high < 0 || low < 0)
            return -1;
        text[i / 2] = (char)(high << 4 | low);
    }
    return len % 2 == 0 ? (long)(len / 2) : -1;
}

static void decode(char *hex, bool from_server)
{
    long len = from_hex(hex);
    const char *wrong;
    json_t *records;
    char *text;

    if (len < 0) {
        puts("! no hex");
        return;
    }
    wrong = meaning_check(hex, (size_t)len, from_server);
    if (wrong != NULL) {
        printf("! %s\n", wrong);
        return;
    }
    records = meaning_of_records(hex, (size_t)len, from_server);
    text = json_dumps(records, JSON_COMPACT);
    puts(text != NULL ? text : "! no memory");
    free(text);
    json_decref(records);
}

static void print_encoded(const struct hf_msg *m)
{
    struct hf_buf out;

    hf_buf_init(&out, 1u << 30);
    if (hf_binary_encode(&out, m) < 0) {
        puts("! too long");
    } else {
        for (uint32_t i = 0; i < out.len; i++)
            printf("%02x", out.data[i]);
        puts("");
    }
    hf_buf_release(&out);
}

static void encode(const char *text, bool from_server)
{
    json_t *meaning = json_loads(text, JSON_ALLOW_NUL, NULL);
    struct meaning_room room;
    const char *wrong;
    struct hf_msg m;

    meaning_room_init(&room);
    wrong = meaning == NULL ? "no JSON" : meaning_read(meaning, from_server, &room, &m);
    if (wrong != NULL)
        printf("! %s\n", wrong);
    else
        print_encoded(&m);
    meaning_room_release(&room);
    json_decref(meaning);
}

/* The rest of the line behind a word, or NULL. */
static char *behind(char *line, const char *word)
{
    size_t n = strlen(word);

    return strncmp(line, word, n) == 0 ? line + n : NULL;
}

static void answer(char *line)
{
    char *rest;

    if ((rest = behind(line, "decode server ")) != NULL)
        decode(rest, true);
    else if ((rest = behind(line, "decode client ")) != NULL)
        decode(rest, false);
    else if ((rest = behind(line, "encode server ")) != NULL)
        encode(rest, true);
    else if ((rest = behind(line, "encode client ")) != NULL)
        encode(rest, false);
    else
        puts("! decode or encode, server or client, and what");
    fflush(stdout);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    while ((len = getline(&line, &cap, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        answer(line);
    }
    free(line);
    return 0;
}
