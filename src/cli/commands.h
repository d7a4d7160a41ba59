/*
 * commands.h - the subcommands of `holdfast`. argv[0] is the subcommand's name; each returns the exit status:
 * 0, 1 (it could not do what was asked), or 2 (it was asked wrongly, and has said so in one line).
 */
#ifndef HF_CLI_COMMANDS_H
#define HF_CLI_COMMANDS_H

enum { HF_EXIT_OK = 0, HF_EXIT_FAILED = 1, HF_EXIT_USAGE = 2 };

int hf_cli_serve(int argc, char **argv);
int hf_cli_pub(int argc, char **argv);
int hf_cli_sub(int argc, char **argv);
int hf_cli_history(int argc, char **argv);
int hf_cli_presence(int argc, char **argv);
int hf_cli_call(int argc, char **argv);
int hf_cli_ping(int argc, char **argv);
int hf_cli_top(int argc, char **argv);
int hf_cli_bench(int argc, char **argv);
int hf_cli_token(int argc, char **argv);
int hf_cli_check(int argc, char **argv);

#endif
