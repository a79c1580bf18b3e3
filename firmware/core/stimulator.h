/* The stimulator board's whole behaviour, without its pins: messages and time in; light, refusals and reports out.
 *
 * closedloop/simulation/stimulator_board.py is its twin, and the two are tested to be equal to the byte and the
 * microsecond. Time is the board's ticks (microseconds, wrapping); every call brings all that was due before it up to
 * date first. Not re-entrant: everything is called from the main loop, never from an interrupt.
 */
#ifndef CLOSEDLOOP_STIMULATOR_H
#define CLOSEDLOOP_STIMULATOR_H
#include <stdint.h>

#include "interlock.h"
#include "train.h"
#include "wire.h"

#define STIMULATOR_ANSWERS 4 /* a repeated Fire is answered again within so many trains */

typedef struct {
    uint32_t train;
    uint8_t kind; /* WIRE_FIRED or WIRE_REFUSED; 0 where there is no answer yet, or no train */
    union {
        wire_fired_t fired;
        wire_refused_t refused;
    } said;
} stimulator_answer_t;

typedef struct {
    interlock_t interlock;
    train_t train;
    wire_fired_t report;                             /* of the train in hand */
    uint8_t planned;                                 /* there is a train in hand */
    uint8_t lit;                                     /* as reported so far; the interlock may have ended it */
    uint32_t lit_since;
    wire_prepare_t prepared;                         /* pulses 0: nothing is */
    uint32_t now;
    uint32_t lead_us;                                /* from a command to its first light, at least */
    uint32_t notice_us;                              /* ahead of its tick that a scheduled start must come */
    uint32_t last_train;                             /* highest number of this session; 0 before the first */
    uint32_t on_board_trains;                        /* begun by the trigger line since the start */
    stimulator_answer_t answers[STIMULATOR_ANSWERS]; /* newest at next_answer - 1 */
    uint8_t next_answer;
    uint16_t ignored;                                /* well-formed, and not for a stimulator */
} stimulator_t;

/* Start-up: dark, disarmed, without limits, the interlock taken as open until it is seen closed. */
void stimulator_init(stimulator_t *stimulator, uint32_t now, uint32_t lead_us, uint32_t notice_us);

/* Lets time pass: edges and the end of the lease happen at their own microsecond. */
void stimulator_advance(stimulator_t *stimulator, uint32_t now);

/* Obeys one payload. Returns 1 if it was for a stimulator, else 0. */
uint8_t stimulator_obey(stimulator_t *stimulator, const uint8_t *payload, uint8_t length, uint32_t now);

/* The interlock input is closed, or not. */
void stimulator_interlock(stimulator_t *stimulator, uint8_t closed, uint32_t now);

/* The external gate input allows light, or not: if not, a train is cut short and none begins; nothing trips. */
void stimulator_gate(stimulator_t *stimulator, uint8_t open, uint32_t now);

/* The trigger line rose: begin the prepared train. */
void stimulator_trigger(stimulator_t *stimulator, uint32_t now);

/* The heartbeat or Arm just obeyed may have come so long ago: its lease is that much shorter. */
void stimulator_shorten_lease(stimulator_t *stimulator, uint32_t us);

/* A first light that could not be armed in time comes so much later. */
void stimulator_delay(stimulator_t *stimulator, uint32_t us);

/* The level now, 0 to 65535; 0 is dark. */
uint16_t stimulator_level(const stimulator_t *stimulator);

#endif
