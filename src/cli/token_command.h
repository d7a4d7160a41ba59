/*
 * token_command.h - the command of --token-command, whose output is a token.
 */
#ifndef HF_CLI_TOKEN_COMMAND_H
#define HF_CLI_TOKEN_COMMAND_H

#include "holdfast/holdfast.h"

#include <stdbool.h>
#include <stddef.h>

enum { HF_TOKEN_COMMAND_S = 10 }; /* it has so long */

/*
 * Run it by /bin/sh, with an empty standard input, and wait for its end, for HF_TOKEN_COMMAND_S at most; then it is killed, and so are its children, or when a signal has asked for our own end. *token gets what it
 * wrote, without white space around it. False: there is no token, and why (cap bytes with the NUL) says so, in English.
 */
bool hf_token_command_run(const char *command, char token[HF_CLIENT_TOKEN_MAX + 1], char *why, size_t cap);

#endif
