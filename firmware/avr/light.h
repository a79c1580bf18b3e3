/* Between what the stimulator's core says and the shutter: one turn of the main loop, one message, one trigger.
 *
 * Darkness comes first, on the pin, and is told to the core afterwards; light comes last, and from the core alone.
 */
#ifndef CLOSEDLOOP_LIGHT_H
#define CLOSEDLOOP_LIGHT_H
#include <stdint.h>

#include "../core/stimulator.h"

/* A command's first light is planned so far ahead, and made as soon after that as its edge can be armed. */
#define LIGHT_LEAD_US 40UL

/* A scheduled start that comes with less notice is refused: it could not be kept with every train and a full stream. */
#define LIGHT_NOTICE_US 1000UL

/* Dark pins, inputs, level 0, and a core that starts anew. */
void light_init(stimulator_t *stimulator);

/* One turn: reads the inputs, lets time pass, and arms what comes next. */
void light_turn(stimulator_t *stimulator);

/* Obeys one payload. Returns 1 if it was for a stimulator, else 0. */
uint8_t light_obey(stimulator_t *stimulator, const uint8_t *payload, uint8_t length);

/* The trigger line rose, or this very board raised it: begins the prepared train. */
void light_trigger(stimulator_t *stimulator);

#endif
