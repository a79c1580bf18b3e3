/* The light's pin on OC1A of Timer1: see shutter.h. TCCR1A belongs to this file alone. */
#include "shutter.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

#include "../core/wire.h"
#include "clock.h"
#include "pins.h"

#define SET_ON_MATCH ((1U << COM1A1) | (1U << COM1A0))
#define CLEAR_ON_MATCH (1U << COM1A1)
#define DISCONNECTED 0U
#define SOON_US (SHUTTER_MARGIN_US + 8UL) /* what arming itself takes, with interrupts off */

static volatile uint8_t state;
static volatile uint8_t has_risen;   /* the rise that was armed last */
static volatile uint16_t fall_count; /* for the interrupt at the rise */
static volatile uint32_t dark_since; /* the last fall, as made */
static uint32_t rise_tick;
static uint32_t fall_tick;

static void go_dark(uint32_t at) {
    if (state == SHUTTER_LIT) {
        dark_since = at;
    }
    TCCR1A = DISCONNECTED;
    TIMSK1 &= (uint8_t)~(1U << OCIE1A);
    pin_low(PIN_LIGHT_COPY);
    state = SHUTTER_DARK;
}

/* "Clear" only now that the rise has happened, and well before the fall: the shortest pulse is 50 us. */
ISR(TIMER1_COMPA_vect) {
    if (state == SHUTTER_RISING) {
        OCR1A = fall_count;
        TCCR1A = CLEAR_ON_MATCH;
        pin_high(PIN_LIGHT_COPY);
        state = SHUTTER_LIT;
        has_risen = 1;
    } else {
        go_dark(fall_tick);
    }
}

/* The compare unit remembers its level while disconnected; a forced match makes it remember darkness. */
void shutter_cut(void) {
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        TCCR1A = CLEAR_ON_MATCH;
        TCCR1C = 1U << FOC1A;
        go_dark(clock_now());
        TIFR1 = 1U << OCF1A;
    }
}

void shutter_init(void) {
    pin_output(PIN_LIGHT_GATE);
    pin_output(PIN_LIGHT_COPY);
    shutter_cut();
    dark_since = clock_now() - CEILING_OFF_US;
}

uint8_t shutter_state(void) {
    return state;
}

uint8_t shutter_has_risen(uint32_t rise_at) {
    return has_risen && rise_at == rise_tick && clock_reached(clock_now(), rise_at);
}

uint32_t shutter_rise_at(void) {
    return rise_tick;
}

uint32_t shutter_fall_at(void) {
    return fall_tick;
}

static uint32_t within_horizon(uint32_t from, uint32_t fall_at) {
    return fall_at - from > SHUTTER_HORIZON_US ? from + SHUTTER_HORIZON_US : fall_at;
}

static uint8_t has_matched(void) {
    return (TIFR1 & (1U << OCF1A)) != 0;
}

static uint8_t is_in_time(uint32_t at) {
    return (int32_t)(at - clock_now()) >= (int32_t)SHUTTER_MARGIN_US;
}

/* The board's least darkness is kept here once more, whatever the core says. Ticks wrap: once in 71 minutes of darkness
 * two milliseconds pass in which this is too strict. */
static uint8_t is_rested(uint32_t rise_at) {
    return rise_at - dark_since >= CEILING_OFF_US;
}

static uint8_t arm(uint32_t rise_at, uint32_t fall_at) {
    TCCR1A = DISCONNECTED;
    TIMSK1 &= (uint8_t)~(1U << OCIE1A);
    state = SHUTTER_DARK;
    if (!is_rested(rise_at) || !is_in_time(rise_at)) {
        return 0;
    }
    rise_tick = rise_at;
    fall_tick = fall_at;
    fall_count = clock_count(fall_at);
    has_risen = 0;
    OCR1A = clock_count(rise_at);
    TIFR1 = 1U << OCF1A;
    TCCR1A = SET_ON_MATCH;
    TIMSK1 |= 1U << OCIE1A;
    state = SHUTTER_RISING;
    return 1;
}

static uint8_t is_lit(void) {
    return state == SHUTTER_LIT || (state == SHUTTER_RISING && has_matched());
}

uint8_t shutter_arm(uint32_t rise_at, uint32_t fall_at) {
    uint8_t armed = 1;
    uint32_t near_fall_at = within_horizon(rise_at, fall_at);
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        if (!is_lit()) {
            armed = arm(rise_at, near_fall_at);
        }
    }
    return armed;
}

uint8_t shutter_arm_soon(uint32_t lit_us, uint32_t *rise_at) {
    uint8_t armed = 0;
    uint32_t near_us = within_horizon(0, lit_us);
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        if (!is_lit()) {
            *rise_at = clock_now() + SOON_US;
            armed = arm(*rise_at, *rise_at + near_us);
        }
    }
    return armed;
}

static void move_fall_of_rise(uint32_t fall_at) {
    fall_tick = within_horizon(rise_tick, fall_at);
    fall_count = clock_count(fall_tick);
}

/* A match that has come already is left to its interrupt. */
static void move_fall_of_light(uint32_t fall_at) {
    if (has_matched()) {
        return;
    }
    if (!is_in_time(fall_at)) {
        shutter_cut();
        return;
    }
    fall_tick = within_horizon(clock_now(), fall_at);
    OCR1A = clock_count(fall_tick);
}

void shutter_move_fall(uint32_t fall_at) {
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        if (state == SHUTTER_RISING) {
            move_fall_of_rise(fall_at);
        } else if (state == SHUTTER_LIT) {
            move_fall_of_light(fall_at);
        }
    }
}
