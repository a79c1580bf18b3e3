/* The board's clock on Timer1: see clock.h. */
#include "clock.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

static volatile uint32_t clock_base; /* ticks at the last overflow; always a multiple of CLOCK_TICKS_PER_OVERFLOW */

ISR(TIMER1_OVF_vect) {
    clock_base += CLOCK_TICKS_PER_OVERFLOW;
}

void clock_init(void) {
    TCCR0B = 0;
    TIMSK0 = 0;
    TIMSK1 = 0;
    TCCR1A = 0;
    TCCR1B = 0;
    TCNT1 = 0;
    TIFR1 = (1U << TOV1) | (1U << OCF1A) | (1U << OCF1B);
    clock_base = 0;
    TIMSK1 = 1U << TOIE1;
    TCCR1B = 1U << CS11;
}

uint32_t clock_now(void) {
    uint16_t count;
    uint32_t base;
    uint8_t pending;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        count = TCNT1;
        pending = TIFR1 & (1U << TOV1);
        base = clock_base;
    }
    return clock_ticks(base, count, pending);
}
