#include "client/race.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NEVER = INT32_MAX, LOG_BYTES = 512 };

/*
 * One race over a made-up network. When each lookup ends (ms, NEVER: not at all), what it finds, and the fate of a connection to each: n > 0
 * connects after n ms, n < 0 fails after -n ms, NEVER is silence. 6a is the first IPv6 address, 4b the second IPv4 one.
 * `happens` is what the race does and when: "0+6a" begins it, "30-6a" its failure, "80=4a" the victory, "4000 lost" the end.
 */
struct scenario {
    const char *name;
    int v6_at, v6_count, v6_fate[6];
    int v4_at, v4_count, v4_fate[6];
    const char *last_good; /* as "4a"; NULL: none */
    uint32_t rtt_ms, skip;
    const char *happens;
};

static const struct scenario scenarios[] = {
    {"one address", 0, 0, {0}, 0, 1, {20}, NULL, 0, 0, "0+4a 20=4a"},
    {"one address that refuses", 0, 0, {0}, 0, 1, {-5}, NULL, 0, 0, "0+4a 5-4a 5 lost"},
    {"one address that is silent", 0, 1, {NEVER}, 0, 0, {0}, NULL, 0, 0, "0+6a 4000 lost"},
    {"no address", 10, 0, {0}, 30, 0, {0}, NULL, 0, 0, "30 lost"},
    {"no answer of any lookup", NEVER, 0, {0}, NEVER, 0, {0}, NULL, 0, 0, "4000 lost"},
    {"IPv6 answers first and waits for nothing", 10, 1, {20}, 40, 1, {20}, NULL, 0, 0, "10+6a 30=6a"},
    {"IPv4 answers first and waits for IPv6", 40, 1, {20}, 0, 1, {1}, NULL, 0, 0, "40+6a 60=6a"},
    {"IPv4 waits for 50 ms", 60, 1, {20}, 0, 1, {100}, NULL, 0, 0, "50+4a 150=4a"},
    {"IPv4 waits no longer than for a no", 20, 0, {0}, 0, 1, {5}, NULL, 0, 0, "20+4a 25=4a"},
    {"what is found later joins in", 70, 1, {9}, 0, 2, {NEVER, NEVER}, NULL, 0, 0, "50+4a 300+6a 309=6a"},
    {"IPv6 is a black hole", 0, 1, {NEVER}, 0, 1, {30}, NULL, 0, 0, "0+6a 250+4a 280=4a"},
    {"all of IPv6 is a black hole",
     0,
     3,
     {NEVER, NEVER, NEVER},
     0,
     1,
     {30},
     NULL,
     0,
     0,
     "0+6a 250+4a 280=4a"},
    {"the families take turns",
     0,
     2,
     {-10, -10},
     0,
     3,
     {-10, -10, -10},
     NULL,
     0,
     0,
     "0+6a 10-6a 10+4a 20-4a 20+6b 30-6b 30+4b 40-4b 40+4c 50-4c 50 lost"},
    {"a failure begins the next at once", 0, 1, {-3}, 0, 1, {10}, NULL, 0, 0, "0+6a 3-6a 3+4a 13=4a"},
    {"who began first may still win", 0, 1, {300}, 0, 1, {100}, NULL, 0, 0, "0+6a 250+4a 300=6a"},
    {"a winner closes the losers",
     0,
     2,
     {NEVER, NEVER},
     0,
     2,
     {NEVER, 30},
     NULL,
     0,
     0,
     "0+6a 250+4a 500+6b 750+4b 780=4b"},
    {"all are silent", 0, 2, {NEVER, NEVER}, 0, 1, {NEVER}, NULL, 0, 0, "0+6a 250+4a 500+6b 4000 lost"},
    {"the last good one first", 0, 2, {20, 20}, 0, 2, {20, 20}, "4b", 0, 0, "0+4b 20=4b"},
    {"the last good one waits for no lookup of IPv6",
     NEVER,
     0,
     {0},
     5,
     2,
     {20, 20},
     "4b",
     0,
     0,
     "5+4b 25=4b"},
    {"the last good one is silent now",
     0,
     2,
     {20, 20},
     0,
     2,
     {NEVER, NEVER},
     "4a",
     0,
     0,
     "0+4a 250+6a 270=6a"},
    {"the last good one is there no more", 0, 1, {20}, 0, 1, {20}, "4f", 0, 0, "0+6a 20=6a"},
    {"a near server: the least stagger", 0, 1, {NEVER}, 0, 1, {5}, NULL, 10, 0, "0+6a 100+4a 105=4a"},
    {"a server 200 ms away", 0, 1, {NEVER}, 0, 1, {200}, NULL, 200, 0, "0+6a 400+4a 600=4a"},
    {"a server very far away: the greatest stagger",
     0,
     1,
     {NEVER},
     0,
     1,
     {900},
     NULL,
     3000,
     0,
     "0+6a 2000+4a 2900=4a"},
    {"four of a family, then others",
     0,
     0,
     {0},
     0,
     6,
     {-1, -1, -1, -1, -1, -1},
     NULL,
     0,
     1,
     "0+4e 1-4e 1+4f 2-4f 2+4a 3-4a 3+4b 4-4b 4 lost"},
    {"the last good one has its place among the four",
     0,
     0,
     {0},
     0,
     6,
     {-1, -1, -1, -1, -1, 7},
     "4f",
     0,
     0,
     "0+4f 7=4f"},
};

struct world {
    const struct scenario *s;
    struct hf_race race;
    uint64_t now_ms;
    bool told[HF_RACE_FAMILIES];
    uint64_t ends_at_ms[HF_RACE_ADDRESSES_MAX]; /* by index: when its fate comes true */
    char log[LOG_BYTES];
};

static struct hf_race_address address(enum hf_race_family family, unsigned i)
{
    struct hf_race_address a = {.scope = 0};

    a.ip = hf_ip_v4((const uint8_t[4]){192, 0, 2, (uint8_t)(i + 1)});
    if (family == HF_RACE_V6)
        a.ip.bytes[0] = 0x20;
    return a;
}

static struct hf_race_address named(const char *name)
{
    return address(name[0] == '6' ? HF_RACE_V6 : HF_RACE_V4, (unsigned)(name[1] - 'a'));
}

static void name_of(const struct hf_race_address *a, char name[3])
{
    name[0] = hf_race_family_of(a) == HF_RACE_V6 ? '6' : '4';
    name[1] = (char)('a' + a->ip.bytes[HF_IP_BYTES - 1] - 1);
    name[2] = '\0';
}

static void tell(struct world *w, char what, unsigned index)
{
    size_t len = strlen(w->log);
    char name[3];

    name_of(&w->race.racers[index].address, name);
    (void)snprintf(w->log + len, sizeof(w->log) - len, "%s%" PRIu64 "%c%s", len > 0 ? " " : "", w->now_ms,
                   what, name);
}

static int fate(const struct world *w, unsigned index)
{
    const struct hf_race_address *a = &w->race.racers[index].address;
    unsigned i = a->ip.bytes[HF_IP_BYTES - 1] - 1u;

    return hf_race_family_of(a) == HF_RACE_V6 ? w->s->v6_fate[i] : w->s->v4_fate[i];
}

static void answer(struct world *w, enum hf_race_family family)
{
    int at = family == HF_RACE_V6 ? w->s->v6_at : w->s->v4_at;
    int count = family == HF_RACE_V6 ? w->s->v6_count : w->s->v4_count;
    struct hf_race_address list[6];

    if (w->told[family] || (uint64_t)at > w->now_ms)
        return;
    w->told[family] = true;
    for (int i = 0; i < count; i++)
        list[i] = address(family, (unsigned)i);
    hf_race_found(&w->race, family, list, (unsigned)count, w->now_ms);
}

static void begin(struct world *w)
{
    int index;

    while ((index = hf_race_next(&w->race, w->now_ms)) >= 0) {
        int f = fate(w, (unsigned)index);

        tell(w, '+', (unsigned)index);
        w->ends_at_ms[index] = f == NEVER ? UINT64_MAX : w->now_ms + (uint64_t)(f < 0 ? -f : f);
    }
}

static void outcomes(struct world *w)
{
    for (unsigned i = 0; i < w->race.count; i++) {
        if (w->race.racers[i].state != HF_RACER_TRYING || w->ends_at_ms[i] > w->now_ms)
            continue;
        tell(w, fate(w, i) < 0 ? '-' : '=', i);
        if (fate(w, i) < 0)
            hf_race_failed(&w->race, i, w->now_ms);
        else
            hf_race_connected(&w->race, i);
    }
}

/* When something happens next. */
static uint64_t next_event(const struct world *w)
{
    uint64_t at = hf_race_deadline_ms(&w->race);

    if (!w->told[HF_RACE_V6] && (uint64_t)w->s->v6_at < at)
        at = (uint64_t)w->s->v6_at;
    if (!w->told[HF_RACE_V4] && (uint64_t)w->s->v4_at < at)
        at = (uint64_t)w->s->v4_at;
    for (unsigned i = 0; i < w->race.count; i++)
        if (w->race.racers[i].state == HF_RACER_TRYING && w->ends_at_ms[i] < at)
            at = w->ends_at_ms[i];
    return at;
}

static bool over(const struct world *w)
{
    return w->race.state == HF_RACE_WON || w->race.state == HF_RACE_LOST;
}

static void run(struct world *w, const struct scenario *s)
{
    struct hf_race_config config = {
        .until_ms = 4000, .stagger_ms = hf_race_stagger_ms(s->rtt_ms), .skip = s->skip};
    unsigned turns;

    memset(w, 0, sizeof(*w));
    w->s = s;
    config.has_last_good = s->last_good != NULL;
    if (s->last_good != NULL)
        config.last_good = named(s->last_good);
    hf_race_start(&w->race, &config);
    for (turns = 0; turns < 100 && !over(w); turns++) {
        answer(w, HF_RACE_V6);
        answer(w, HF_RACE_V4);
        outcomes(w);
        begin(w);
        if (!over(w)) {
            assert_true(next_event(w) > w->now_ms);
            w->now_ms = next_event(w);
        }
    }
    assert_true(over(w));
    if (w->race.state == HF_RACE_LOST)
        (void)snprintf(w->log + strlen(w->log), sizeof(w->log) - strlen(w->log), "%s%" PRIu64 " lost",
                       w->log[0] != '\0' ? " " : "", w->now_ms);
}

static void each_scenario_goes_as_told(void **state)
{
    struct world w;

    (void)state;
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        run(&w, &scenarios[i]);
        if (strcmp(w.log, scenarios[i].happens) != 0)
            fail_msg("%s: %s, and not %s", scenarios[i].name, w.log, scenarios[i].happens);
        assert_int_equal(hf_race_deadline_ms(&w.race), UINT64_MAX);
        assert_int_equal(w.race.timed_out, w.race.state == HF_RACE_LOST && w.now_ms == 4000);
        /* Nobody is left under way: a driver closes whatever is not TRYING and does not stand. */
        for (unsigned k = 0; k < w.race.count; k++)
            assert_true(w.race.racers[k].state != HF_RACER_TRYING &&
                        w.race.racers[k].state != HF_RACER_WAITING);
    }
}

/* What comes after the end changes nothing. */
static void an_answer_after_the_end_is_nothing(void **state)
{
    const struct hf_race_config config = {.until_ms = 4000, .stagger_ms = 250};
    const struct hf_race_address six = address(HF_RACE_V6, 0), four = address(HF_RACE_V4, 0);
    struct hf_race r;

    (void)state;
    hf_race_start(&r, &config);
    hf_race_found(&r, HF_RACE_V6, &six, 1, 10);
    assert_int_equal(hf_race_next(&r, 10), 0);
    hf_race_connected(&r, 0);
    hf_race_found(&r, HF_RACE_V4, &four, 1, 20);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.state, HF_RACE_WON);
    assert_int_equal(hf_race_next(&r, 5000), -1);
    assert_false(r.timed_out);
}

/* The name server may tell an address twice. */
static void an_address_races_once(void **state)
{
    const struct hf_race_config config = {.until_ms = 4000, .stagger_ms = 250};
    const struct hf_race_address list[] = {address(HF_RACE_V4, 0), address(HF_RACE_V4, 0)};
    struct hf_race r;

    (void)state;
    hf_race_start(&r, &config);
    hf_race_found(&r, HF_RACE_V6, list, 0, 0);
    hf_race_found(&r, HF_RACE_V4, list, 2, 0);
    assert_int_equal(r.count, 1);
}

static void the_stagger_follows_the_way(void **state)
{
    (void)state;
    assert_int_equal(hf_race_stagger_ms(0), 250);
    assert_int_equal(hf_race_stagger_ms(1), 100);
    assert_int_equal(hf_race_stagger_ms(50), 100);
    assert_int_equal(hf_race_stagger_ms(51), 102);
    assert_int_equal(hf_race_stagger_ms(999), 1998);
    assert_int_equal(hf_race_stagger_ms(1000), 2000);
    assert_int_equal(hf_race_stagger_ms(UINT32_MAX), 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_scenario_goes_as_told),
        cmocka_unit_test(an_answer_after_the_end_is_nothing),
        cmocka_unit_test(an_address_races_once),
        cmocka_unit_test(the_stagger_follows_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
