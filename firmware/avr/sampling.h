/* Readings in hardware time: LEDs, settle times and conversions follow one another in interrupts, period by period.
 *
 * Order of a period: dark, control (405 nm), signal (470 nm) last, so that a reading leaves as soon as it is known. An
 * interrupt never sends and never waits: a finished reading lies here until the main loop takes it.
 */
#ifndef CLOSEDLOOP_SAMPLING_H
#define CLOSEDLOOP_SAMPLING_H
#include <stdint.h>

#include "../core/daq.h"

/* Pins and converter: LEDs and trigger low, dead-time line high. */
void sampling_init(void);

/* Takes the finished reading, if there is one (returns 1); `missed` earlier ones were never taken. */
uint8_t sampling_take(daq_sums_t *sums, uint16_t *missed);

#endif
