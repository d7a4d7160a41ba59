/*
 * test_session_vectors.c - the vectors of tests/vectors/session: what a client does about all that can happen to it. The TypeScript client plays the
 * same files. Each is played twice, with the server's bytes in one piece and one by one.
 */
#include "session_player.h"

static void play(struct vector *v, unsigned variant)
{
    player_play(v, variant == 1);
}

int main(int argc, char **argv)
{
    static const char *const folders[] = {"session", NULL};
    static const struct vector_suite suite = {
        .name = "session", .folders = folders, .least = 120, .variants = 2, .play = play};

    vector_arguments(argc, argv);
    return vector_run(&suite);
}
