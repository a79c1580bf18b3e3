/* The board's clock: Timer1 at half a microsecond, extended to ticks of 1 us. Timer1 never stops and is never set.
 *
 * Timer1 is shared: OC1A makes the edges of light (light.c), OC1B the phases of a reading (sampling.c). Its 16-bit
 * registers share one byte of buffer, so every access to them outside an interrupt stands in an atomic block.
 */
#ifndef CLOSEDLOOP_CLOCK_H
#define CLOSEDLOOP_CLOCK_H
#include <stdint.h>

#include "../core/clock.h"

/* Starts Timer1 in normal mode at 2 MHz with both compare outputs off, and turns Timer0 off. Interrupts are off yet. */
void clock_init(void);

/* Ticks now, in us; from the main loop or from an interrupt. */
uint32_t clock_now(void);

#endif
