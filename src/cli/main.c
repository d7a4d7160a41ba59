/*
 * main.c - `holdfast COMMAND …`: finds the subcommand and runs it.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", "serve clients", hf_cli_serve},
    {"pub", "publish a message, or each line of standard input", hf_cli_pub},
    {"sub", "write the messages of channels to standard output", hf_cli_sub},
    {"history", "write what a channel keeps to standard output", hf_cli_history},
    {"presence", "write who is subscribed to a channel, and who comes and goes", hf_cli_presence},
    {"call", "ask the application's backend", hf_cli_call},
    {"check", "see whether a configuration is good", hf_cli_check},
    {"ping", "measure the way to a server and back", hf_cli_ping},
    {"token", "make and look into tokens, and make keys of the HTTP API", hf_cli_token},
    {"top", "show what a server does, as it does it", hf_cli_top},
    {"bench", "put load on a server and measure", hf_cli_bench},
};

enum { COMMANDS_COUNT = sizeof(commands) / sizeof(commands[0]) };

static int help(void)
{
    unsigned i;

    printf("Usage: holdfast COMMAND [OPTION...] [ARGUMENT...]\n\n");
    for (i = 0; i < COMMANDS_COUNT; i++)
        printf("  %-9s %s\n", commands[i].name, commands[i].summary);
    printf("\n`holdfast COMMAND --help` tells about one; `holdfast --version` about this build.\n");
    return HF_EXIT_OK;
}

static int usage(const char *problem, const char *what)
{
    fprintf(stderr, "holdfast: %s%s (try `holdfast --help`)\n", problem, what);
    return HF_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    unsigned i;

    if (argc < 2)
        return usage("no command given", "");
    for (i = 0; i < COMMANDS_COUNT; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("holdfast %s\n", HF_VERSION);
        return HF_EXIT_OK;
    }
    return usage(argv[1][0] == '-' ? "unknown option " : "unknown command ", argv[1]);
}
