/* Timer1's compare B begins phases; the converter's interrupt adds up. Compare A and the timer itself are not ours.
 *
 * Interrupts don't nest, so what they alone touch needs no guard; what the main loop shares stands in atomic blocks.
 */
#include "sampling.h"

#include <avr/interrupt.h>
#include <util/atomic.h>

#include "adc.h"
#include "clock.h"
#include "leds.h"
#include "pins.h"
#include "serial.h"

#define COUNTS_PER_US 2U
#define FIRST_PERIOD_COUNTS 200U /* from the start to the first period */
#define HOP_COUNTS 16000U        /* a rest longer than two hops is taken in hops: the timer has 16 bits */
#define LEAST_COUNTS 4           /* a compare nearer than this may be missed, and would come 33 ms late */

enum { DARK, CONTROL, SIGNAL };

static uint8_t phase;
static uint8_t is_settled;   /* conversions of this phase have begun */
static uint8_t left;         /* conversions of this phase that are still due */
static uint8_t per_phase;
static uint8_t hops;         /* of the rest that is being waited for */
static uint8_t rest_hops;
static uint16_t settle_counts;
static uint16_t conversion_counts;
static uint16_t rest_counts; /* after the signal's conversions began, less the hops */
static uint16_t sum;
static daq_sums_t sums_of[2];
static daq_sums_t *filling = &sums_of[0]; /* the period that goes on */

static daq_sums_t *finished = &sums_of[1]; /* the last one that is over; its ticks and inputs are added when it is taken */
static uint16_t finished_count;
static uint16_t missed_count;
static volatile uint8_t is_finished;

void sampling_init(void) {
    leds_init();
    pin_output(PIN_TRIGGER_OUT);
    pin_output(PIN_DEAD_TIME);
    pin_high(PIN_DEAD_TIME);
    pin_input(PIN_LIGHT_COPY_IN);
    pin_input(PIN_INPUT_0);
    pin_input(PIN_INPUT_1);
    pin_input(PIN_INPUT_2);
    adc_init();
}

static uint16_t inputs(void) {
    uint16_t high = 0;
    high |= pin_is_high(PIN_INPUT_0) ? 1U : 0U;
    high |= pin_is_high(PIN_INPUT_1) ? 2U : 0U;
    high |= pin_is_high(PIN_INPUT_2) ? 4U : 0U;
    return high;
}

/* In an interrupt, and so no more than must be: a byte comes in every 10 us, and the line holds three. */
static inline void finish(void) {
    daq_sums_t *done = filling;
    finished_count = TCNT1;
    leds_dark();
    pin_high(PIN_DEAD_TIME);
    done->signal = sum;
    filling = finished;
    finished = done;
    if (is_finished) { /* the main loop is late: the older one is lost */
        missed_count++;
    }
    is_finished = 1;
}

/* Conversions that are still due when the phase is over are lost: the sum is short, and says so. */
static void end_phase(void) {
    if (left > 0) {
        left = 0;
        adc_abort();
        filling->flags |= FLAG_DROPPED_CONVERSIONS;
        if (phase == SIGNAL) {
            finish();
        }
    }
    if (phase == DARK) {
        filling->dark = sum;
    } else if (phase == CONTROL) {
        filling->control = sum;
    }
}

static void begin_dark(void) {
    phase = DARK;
    leds_dark();
    pin_low(PIN_DEAD_TIME);
    filling->flags = 0;
}

static void begin_next_phase(void) {
    end_phase();
    if (phase == SIGNAL) {
        begin_dark();
    } else if (phase == DARK) {
        phase = CONTROL;
        leds_control();
    } else {
        phase = SIGNAL;
        leds_signal();
    }
    sum = 0;
    is_settled = 0;
    OCR1B += settle_counts;
}

static void begin_conversions(void) {
    is_settled = 1;
    left = per_phase;
    adc_start();
    if (phase == SIGNAL) {
        hops = rest_hops;
        OCR1B += rest_counts;
    } else {
        OCR1B += conversion_counts;
    }
}

static void step(void) {
    if (hops > 0) {
        hops--;
        OCR1B += HOP_COUNTS;
    } else if (is_settled) {
        begin_next_phase();
    } else {
        begin_conversions();
    }
}

/* A step so late that the next one is due already is followed by that one at once. */
ISR(TIMER1_COMPB_vect) {
    step();
    while ((int16_t)(OCR1B - TCNT1) < LEAST_COUNTS) {
        TIFR1 = (uint8_t)(1U << OCF1B);
        step();
    }
}

static uint16_t saturated(void) {
    if (phase == DARK) {
        return FLAG_SIGNAL_SATURATED | FLAG_CONTROL_SATURATED;
    }
    return phase == CONTROL ? FLAG_CONTROL_SATURATED : FLAG_SIGNAL_SATURATED;
}

ISR(ADC_vect) {
    uint16_t counts = adc_counts();
    if (left == 0) {
        return;
    }
    left--;
    if (left > 0) {
        adc_start();
    }
    sum += counts;
    if (counts == ADC_TOP) {
        filling->flags |= saturated();
    }
    if (pin_is_high(PIN_LIGHT_COPY_IN)) {
        filling->flags |= FLAG_LIGHT;
    }
    if (left == 0 && phase == SIGNAL) {
        finish();
    }
}

/* The first step begins a dark phase, as if a signal phase were over. */
static void reset(const daq_plan_t *plan) {
    uint32_t rest = (plan->period_us - 2UL * plan->phase_us - plan->settle_us) * COUNTS_PER_US;
    settle_counts = plan->settle_us * COUNTS_PER_US;
    conversion_counts = (plan->phase_us - plan->settle_us) * COUNTS_PER_US;
    for (rest_hops = 0; rest > 2UL * HOP_COUNTS; rest_hops++) {
        rest -= HOP_COUNTS;
    }
    rest_counts = (uint16_t)rest;
    per_phase = plan->conversions;
    phase = SIGNAL;
    is_settled = 1;
    left = hops = 0;
    missed_count = 0;
    is_finished = 0;
}

void daq_begin_sampling(const daq_plan_t *plan) {
    adc_set_pace(plan->conversion_us);
    reset(plan);
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        OCR1B = TCNT1 + FIRST_PERIOD_COUNTS;
        TIFR1 = (uint8_t)(1U << OCF1B);
        TIMSK1 |= (uint8_t)(1U << OCIE1B);
    }
}

void daq_end_sampling(void) {
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        TIMSK1 &= (uint8_t)~(1U << OCIE1B);
        left = 0;
        adc_abort();
        is_finished = 0;
        leds_dark();
        pin_high(PIN_DEAD_TIME);
    }
}

uint8_t sampling_take(daq_sums_t *sums, uint16_t *missed) {
    if (!is_finished) {
        return 0;
    }
    uint16_t since;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        *sums = *finished;
        *missed = missed_count;
        since = (uint16_t)(TCNT1 - finished_count);
        missed_count = 0;
        is_finished = 0;
    }
    sums->ticks = clock_now() - since / COUNTS_PER_US;
    sums->inputs = inputs();
    return 1;
}

uint8_t daq_line_room(void) {
    return serial_room();
}

void daq_trigger_line(uint8_t high) {
    if (high) { /* two single instructions: the LEDs share the port with it, and an interrupt switches them */
        pin_high(PIN_TRIGGER_OUT);
    } else {
        pin_low(PIN_TRIGGER_OUT);
    }
}
