/*
 * top.c - `holdfast top`: a live view of a server in a terminal, one frame of it as text, or what it shows as JSON.
 */
#include "cli/top.h"

#include "cli/commands.h"
#include "cli/peer.h"
#include "cli/print.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum {
    INTERVAL_MS = 1000,
    INTERVAL_MS_MIN = 100,
    COLUMNS = 80,
    ROWS = 24,
    FRAME_BYTES_MAX = 4 * 1024 * 1024,
    WHY_BYTES = 512,
    CTRL_C = 3,
};

struct top {
    struct hf_top_source source;
    uint64_t interval_ms;
    bool once, json;
    int signals;             /* a signalfd; -1: none */
    bool raw;                /* the terminal is ours */
    struct termios terminal; /* as it was */
    struct hf_top_sample before, now;
    struct hf_buf frame;
};

static int help(void)
{
    printf(
        "Usage: holdfast top [OPTION...]\n"
        "Show what a server does, as it does it: workers, rates, latencies, the busiest channels, the "
        "slowest sessions.\n"
        "q ends it. Reads the server's HTTP API.\n\n"
        "  --api URL              the server's HTTP API (http://127.0.0.1:8001); unix:PATH for a Unix "
        "socket\n"
        "  --key KEY              the server's api.key; better in the environment, as HOLDFAST_API_KEY\n"
        "  --ca FILE              with https://, trust these authorities (PEM), and not those of the system\n"
        "  -i, --interval SECONDS between two looks (1; at least 0.1)\n"
        "  --once                 one frame as plain text, over one interval, and then end\n"
        "  --json                 one JSON object a line for each interval, and no frames\n");
    return HF_EXIT_OK;
}

/* ---- The terminal ---- */

static struct hf_top_screen screen_of(const struct top *t)
{
    struct hf_top_screen screen = {COLUMNS, ROWS, hf_print_colours(STDOUT_FILENO)};
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        screen.columns = size.ws_col;
        screen.rows = size.ws_row;
    }
    if (t->once)
        screen = (struct hf_top_screen){isatty(STDOUT_FILENO) ? screen.columns : 200, 0, false};
    return screen;
}

static void say(const char *escape)
{
    fputs(escape, stdout);
    (void)fflush(stdout);
}

static void take_terminal(struct top *t)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &t->terminal) < 0)
        return; /* No keys, then: a signal ends it. */
    raw = t->terminal;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    t->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

/* The alternate screen, without a cursor: what stood there comes back. */
static void open_screen(struct top *t)
{
    take_terminal(t);
    say("\033[?1049h\033[?25l\033[2J");
}

static void close_screen(struct top *t)
{
    say("\033[?25h\033[?1049l");
    if (t->raw)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &t->terminal);
}

static int catch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGWINCH);
    (void)signal(SIGPIPE, SIG_IGN); /* Writing tells. */
    return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -1 : signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* ---- Waiting ---- */

enum event { EVENT_TIME, EVENT_RESIZED, EVENT_END };

static enum event read_signal(struct top *t)
{
    struct signalfd_siginfo info;

    if (read(t->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return EVENT_TIME;
    return info.ssi_signo == SIGWINCH ? EVENT_RESIZED : EVENT_END;
}

static bool quit_pressed(void)
{
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

    for (ssize_t i = 0; i < n; i++)
        if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == CTRL_C)
            return true;
    return false;
}

/* Until the time, a key that counts, a signal or another size of the screen. */
static enum event wait_until(struct top *t, uint64_t at_ms)
{
    for (;;) {
        uint64_t now = hf_peer_now_ms();
        struct pollfd fds[] = {{.fd = t->signals, .events = POLLIN},
                               {.fd = t->raw ? STDIN_FILENO : -1, .events = POLLIN}};

        if (now >= at_ms)
            return EVENT_TIME;
        if (poll(fds, 2, (int)(at_ms - now)) < 0 && errno != EINTR)
            return EVENT_END;
        if (fds[0].revents & POLLIN) {
            enum event event = read_signal(t);

            if (event != EVENT_TIME)
                return event;
        }
        if ((fds[1].revents & (POLLIN | POLLHUP)) && (quit_pressed() || (fds[1].revents & POLLHUP)))
            return EVENT_END;
    }
}

/* ---- Showing ---- */

static bool write_out(struct top *t)
{
    bool written = !t->frame.failed && fwrite(t->frame.data, 1, t->frame.len, stdout) == t->frame.len &&
                   fflush(stdout) == 0;

    hf_buf_reset(&t->frame);
    return written;
}

/* Over what stands there: each line cleared behind its end, and what is below the last. */
static void draw(struct top *t, const struct hf_buf *lines)
{
    struct hf_str rest = hf_buf_str(lines);

    hf_buf_puts(&t->frame, "\033[H");
    while (rest.len > 0) {
        const char *end = memchr(rest.data, '\n', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);

        hf_buf_put(&t->frame, rest.data, len);
        len += end != NULL;
        rest.data += len;
        rest.len -= len;
        hf_buf_puts(&t->frame, rest.len > 0 ? "\033[K\r\n"
                                            : "\033[K"); /* An end of line in the last row would scroll. */
    }
    hf_buf_puts(&t->frame, "\033[J");
}

/* Returns whether it could be written. */
static bool show(struct top *t)
{
    struct hf_top_screen screen = screen_of(t);
    struct hf_top_view view;
    struct hf_buf lines;

    if (hf_top_view_make(&view, &t->before, &t->now) < 0)
        return true; /* The server was started anew in between: the next look has one to compare with. */
    hf_buf_init(&lines, FRAME_BYTES_MAX);
    if (t->json) {
        hf_top_json_put(&t->frame, &view, &t->before);
        hf_buf_puts(&t->frame, "\n");
    } else {
        hf_top_frame_put(&lines, &view, &t->before, t->source.api, &screen);
        if (t->once)
            hf_buf_put(&t->frame, lines.data, lines.len);
        else
            draw(t, &lines);
    }
    hf_buf_release(&lines);
    return write_out(t);
}

/* In place of a frame, until there is one again. */
static bool show_trouble(struct top *t, const char *why)
{
    if (t->json || t->once) {
        hf_peer_say("%s", why);
        return true;
    }
    hf_buf_puts(&t->frame, "\033[H\033[2J");
    hf_buf_puts(&t->frame, why);
    hf_buf_puts(&t->frame, "\r\n\r\nIt is asked again; q ends.");
    return write_out(t);
}

/* ---- The loop ---- */

/* Another look. Returns whether there are two to compare. */
static bool look(struct top *t, char *why)
{
    struct hf_top_sample sample;

    if (hf_top_sample_take(&t->source, &sample, why, WHY_BYTES) < 0)
        return false;
    hf_top_sample_drop(&t->before);
    t->before = t->now;
    t->now = sample;
    return t->before.stats != NULL;
}

static bool look_and_show(struct top *t)
{
    char why[WHY_BYTES] = "";

    if (look(t, why))
        return show(t);
    return why[0] == '\0' || show_trouble(t, why);
}

static int follow(struct top *t)
{
    uint64_t due = hf_peer_now_ms() + t->interval_ms;
    bool written = true;

    while (written) {
        enum event event = wait_until(t, due);

        if (event == EVENT_END)
            return HF_EXIT_OK;
        if (event == EVENT_RESIZED) {
            if (t->before.stats != NULL)
                written = show(t);
            continue;
        }
        written = look_and_show(t);
        due = hf_peer_now_ms() + t->interval_ms;
    }
    return HF_EXIT_FAILED;
}

static bool comparable(const struct top *t)
{
    struct hf_top_view view;

    return hf_top_view_make(&view, &t->before, &t->now) == 0;
}

/* One interval, one frame. */
static int show_once(struct top *t)
{
    char why[WHY_BYTES] = "";

    if (wait_until(t, hf_peer_now_ms() + t->interval_ms) == EVENT_END)
        return HF_EXIT_FAILED;
    if (!look(t, why)) {
        hf_peer_say("%s", why);
        return HF_EXIT_FAILED;
    }
    if (!comparable(t)) {
        hf_peer_say("the server was started anew meanwhile: ask again");
        return HF_EXIT_FAILED;
    }
    return show(t) ? HF_EXIT_OK : HF_EXIT_FAILED;
}

static int run(struct top *t)
{
    char why[WHY_BYTES] = "";
    int status;

    if (hf_top_source_open(&t->source) < 0) {
        hf_peer_say("no memory");
        return HF_EXIT_FAILED;
    }
    /* The first answer says whether there is such a server at all; later it may come and go. */
    if (!look(t, why) && why[0] != '\0') {
        hf_peer_say("%s", why);
        return HF_EXIT_FAILED;
    }
    t->signals = catch_signals();
    if (t->once)
        return show_once(t);
    if (t->json)
        return follow(t);
    open_screen(t);
    status = follow(t);
    close_screen(t);
    return status;
}

/* ---- Options ---- */

enum { OPT_API = 256, OPT_KEY, OPT_CA, OPT_ONCE, OPT_JSON };

/* Returns -1 to go on, or the exit status. */
static int take_option(struct top *t, int option, char *const *argv)
{
    switch (option) {
    case OPT_API:
        t->source.api = optarg;
        return strncmp(optarg, "http://", 7) == 0 || strncmp(optarg, "https://", 8) == 0 ||
                       strncmp(optarg, "unix:/", 6) == 0
                   ? -1
                   : hf_peer_usage("top",
                                   "--api wants http://HOST:PORT, https://HOST:PORT or unix:/PATH, not ",
                                   optarg);
    case OPT_KEY:
        t->source.key = optarg;
        return -1;
    case OPT_CA:
        t->source.ca = optarg;
        return -1;
    case OPT_ONCE:
        t->once = true;
        return -1;
    case OPT_JSON:
        t->json = true;
        return -1;
    case 'i':
        return hf_peer_parse_seconds(optarg, &t->interval_ms) && t->interval_ms >= INTERVAL_MS_MIN
                   ? -1
                   : hf_peer_usage("top", "--interval wants seconds, at least 0.1, not ", optarg);
    case 'h':
        return help();
    default:
        return hf_peer_usage_option("top", option, argv);
    }
}

static int parse(struct top *t, int argc, char **argv)
{
    static const struct option known[] = {
        {"api", required_argument, NULL, OPT_API}, {"key", required_argument, NULL, OPT_KEY},
        {"ca", required_argument, NULL, OPT_CA},   {"interval", required_argument, NULL, 'i'},
        {"once", no_argument, NULL, OPT_ONCE},     {"json", no_argument, NULL, OPT_JSON},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    int option, status;

    while ((option = getopt_long(argc, argv, ":hi:", known, NULL)) != -1) {
        status = take_option(t, option, argv);
        if (status >= 0)
            return status;
    }
    if (argc > optind)
        return hf_peer_usage("top", "takes options only, not ", argv[optind]);
    if (!t->once && !t->json && !hf_print_terminal(STDOUT_FILENO))
        return hf_peer_usage("top", "standard output is no terminal: use --once or --json", "");
    return -1;
}

int hf_cli_top(int argc, char **argv)
{
    struct top t = {.source = {.api = "http://127.0.0.1:8001", .key = getenv("HOLDFAST_API_KEY")},
                    .interval_ms = INTERVAL_MS,
                    .signals = -1};
    int status = parse(&t, argc, argv);

    if (status >= 0)
        return status;
    if (t.source.key != NULL && t.source.key[0] == '\0')
        t.source.key = NULL;
    hf_buf_init(&t.frame, FRAME_BYTES_MAX);
    status = run(&t);
    if (t.signals >= 0)
        close(t.signals);
    hf_top_sample_drop(&t.before);
    hf_top_sample_drop(&t.now);
    hf_top_source_close(&t.source);
    hf_buf_release(&t.frame);
    return status;
}
