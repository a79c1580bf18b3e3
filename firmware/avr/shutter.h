/* The pin that lets light out, and its edges by output compare: to the cycle, whatever the program is doing.
 *
 * Lit, the compare unit always holds a fall at most SHUTTER_HORIZON_US ahead: a main loop that no longer turns leaves
 * darkness behind even before the watchdog resets it. The pin's PORT bit stays low, so that disconnecting the compare
 * unit is dark at once.
 */
#ifndef CLOSEDLOOP_SHUTTER_H
#define CLOSEDLOOP_SHUTTER_H
#include <stdint.h>

#define SHUTTER_HORIZON_US 25000UL /* the timer comes round after 32,768 us */
#define SHUTTER_MARGIN_US 6UL      /* less ahead, an edge can't be armed in time */

#define SHUTTER_DARK 0   /* nothing armed */
#define SHUTTER_RISING 1 /* dark, and a rise is armed, with the fall after it */
#define SHUTTER_LIT 2    /* lit, and a fall is armed */

void shutter_init(void);

/* SHUTTER_...; an interrupt changes it, at an edge. */
uint8_t shutter_state(void);

/* Whether the rise at this tick has been made; its light may be over already. It must not be made again. */
uint8_t shutter_has_risen(uint32_t rise_at);

/* The rise and the fall that were armed last, in ticks. A fall beyond the horizon is armed at the horizon. */
uint32_t shutter_rise_at(void);
uint32_t shutter_fall_at(void);

/* Arms a rise and its fall, in place of a rise armed before. Returns 0, and arms nothing, if it is too late for it,
 * or if it comes sooner after the last light than any board may; does nothing and returns 1 once the shutter is lit. */
uint8_t shutter_arm(uint32_t rise_at, uint32_t fall_at);

/* Arms a rise as soon as may be, and a fall so much later. Returns 1 and the tick of the rise; or 0, nothing armed, if it
 * is lit, or has not been dark for long enough. */
uint8_t shutter_arm_soon(uint32_t lit_us, uint32_t *rise_at);

/* Moves the fall of the light there is, or of a rise armed. A fall that can't be armed in time is made at once. */
void shutter_move_fall(uint32_t fall_at);

/* Dark at once, and nothing armed. */
void shutter_cut(void);

#endif
