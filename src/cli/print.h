/*
 * print.h - how `holdfast sub` and `holdfast history` write messages to standard output.
 */
#ifndef HF_CLI_PRINT_H
#define HF_CLI_PRINT_H

#include "base/buf.h"
#include "holdfast/holdfast.h"

#include <stdbool.h>

struct hf_print {
    bool
        json; /* {channel,offset,id,timestamp,payload} a line; else the payload, a text as it is and any other value as JSON */
    bool named;  /* the channel's name stands in front of a payload */
    bool colour; /* of that name */
    struct hf_buf text;
};

/* Colours where standard output is a terminal that has some, unless NO_COLOR is set (no-color.org). */
void hf_print_init(struct hf_print *p);
void hf_print_release(struct hf_print *p);
void hf_print_message(struct hf_print *p, const struct hf_client_message *m);

/* Whether that descriptor is a terminal that lines can be rewritten on. */
bool hf_print_terminal(int fd);
/* The same, and it wants colours. */
bool hf_print_colours(int fd);

#endif
