/* The board's time out of a 16-bit timer that counts half microseconds. No register is touched here.
 *
 * The part below adds CLOCK_TICKS_PER_OVERFLOW to a base at each overflow of the timer; the base is always a multiple
 * of that, so that a tick and the timer's count that stands for it convert into one another without any state.
 */
#ifndef CLOSEDLOOP_CLOCK_CORE_H
#define CLOSEDLOOP_CLOCK_CORE_H
#include <stdint.h>

#define CLOCK_TICKS_PER_OVERFLOW 32768UL

/* Ticks of 1 us (wrapping after 71.6 min) from the base, the timer's count, and whether an overflow is not in the base
 * yet. A pending overflow belongs to the count only if the count was read after it: a high count was read before. */
static inline uint32_t clock_ticks(uint32_t base, uint16_t count, uint8_t overflow_is_pending) {
    uint32_t ticks = base + (uint32_t)(count >> 1);
    if (overflow_is_pending && count < 0x8000U) {
        ticks += CLOCK_TICKS_PER_OVERFLOW;
    }
    return ticks;
}

/* The timer's count at the beginning of a tick. */
static inline uint16_t clock_count(uint32_t ticks) {
    return (uint16_t)(ticks << 1);
}

/* Whether a tick has come, and it came less than half a wrap ago. */
static inline uint8_t clock_reached(uint32_t now, uint32_t at) {
    return (int32_t)(now - at) >= 0;
}

#endif
