/* Watches a stimulator from outside and aborts at the first light that should not be. Real constants, microseconds.
 *
 * It knows what was said to the board and what light came out, and nothing of what goes on inside.
 */
#ifndef CLOSEDLOOP_WITNESS_H
#define CLOSEDLOOP_WITNESS_H
#include <stdint.h>

#include "wire.h"

#define WITNESS_SPANS 4096

typedef struct {
    uint64_t rise_us;
    uint64_t fall_us;
} witness_span_t;

typedef struct {
    uint64_t now_us;
    uint64_t lease_until_us;
    uint64_t rise_us; /* of the light that is on */
    uint64_t dark_since_us;
    uint32_t last_started;
    uint32_t asked; /* trains that may still begin: Fire received, or trigger with a train prepared */
    uint16_t level;
    uint8_t armed, closed, gate_open, limits_set, prepared, was_lit;
    uint32_t begun; /* trains, in all */
    uint64_t begun_us[64];
    uint32_t spans;
    witness_span_t span[WITNESS_SPANS];
    wire_limits_t limits;
} witness_t;

void witness_init(witness_t *w);

/* The level held until this time, and is another from then on (or the same). */
void witness_light(witness_t *w, uint64_t now_us, uint16_t level);

/* What was said to the board at this instant, before it acts on it. */
void witness_hear(witness_t *w, const uint8_t *payload, uint8_t length);
void witness_interlock(witness_t *w, uint8_t closed);
void witness_gate(witness_t *w, uint8_t open);
void witness_trigger(witness_t *w);

/* What the board says. */
void witness_said(witness_t *w, const uint8_t *payload, uint8_t length);

#endif
