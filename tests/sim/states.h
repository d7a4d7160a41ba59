/*
 * states.h - what a client session promises about its states, checked as it tells them and after every step:
 *   - they follow one another as the table of session/client_state.h says, each with a cause, and the session is in the one that it told last;
 *   - an attempt is made no sooner than was said, unless a signal came; and where the server had named the time, no sooner than that or
 *     30 s after the signal;
 *   - messages come from one connection only, the one that was welcomed last, and only while there is one;
 *   - doubt ends, one way or the other;
 *   - of connections that are made ahead, on doubt alone, there are three a minute.
 */
#ifndef SIM_STATES_H
#define SIM_STATES_H

#include "session/client_session.h"

#include <stdbool.h>
#include <stdint.h>

struct sim_client;

struct sim_states {
    enum hf_client_session_state state; /* as told */
    uint64_t since_ms;
    uint64_t promised_ms; /* WAITING, OFFLINE: no attempt before */
    bool named;           /* the server has named that time */
    bool signalled;       /* a signal has come since it was promised */
    uint64_t signal_ms;   /* the first one */
    bool advised;         /* the server has asked for another connection */
    uint64_t way_ms;      /* when the system last told of the ways: another connection may follow at once */
    uint32_t reading;     /* the attempt whose bytes are being read; 0: none */
    uint32_t welcomed;    /* the attempt that was welcomed last */
    uint64_t ahead_ms[3]; /* when the last connections were made ahead */
    uint32_t ahead;
};

void sim_states_start(struct sim_client *c);
/* The session is about to be told something about the network. */
void sim_states_signal(struct sim_client *c);
/* And about the ways that its connections take. */
void sim_states_way(struct sim_client *c);
/* It has told something. */
void sim_states_told(struct sim_client *c, const struct hf_client_session_event *ev);
/* A connection is made for it. */
void sim_states_dials(struct sim_client *c);
/* Whether some step has broken a promise. */
void sim_states_check(struct sim_client *c);

#endif
