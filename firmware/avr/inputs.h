/* What the stimulator's input pins say. A pin that nothing is connected to says what is safe, as far as a pin can: the
 * interlock reads open; the gate reads open for light, since most rigs have none.
 */
#ifndef CLOSEDLOOP_INPUTS_H
#define CLOSEDLOOP_INPUTS_H
#include <stdint.h>

void inputs_init(void);

/* Whether the interlock's contact closes D4 to GND. */
uint8_t inputs_interlock_is_closed(void);

/* Whether the external gate on D12 allows light. */
uint8_t inputs_gate_is_open(void);

/* Whether the trigger line rose since this was last asked. */
uint8_t inputs_take_trigger(void);

#endif
