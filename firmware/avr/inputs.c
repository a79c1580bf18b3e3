/* The stimulator's inputs: see inputs.h. The interrupt of the trigger line sets a flag and does nothing else. */
#include "inputs.h"

#include <avr/interrupt.h>
#include <avr/io.h>

#include "pins.h"

static volatile uint8_t trigger_rose;

#if defined(__AVR_ATmega2560__)
#define TRIGGER_vect INT4_vect
#define TRIGGER_MASK (1U << INT4)
#else
#define TRIGGER_vect INT0_vect
#define TRIGGER_MASK (1U << INT0)
#endif

ISR(TRIGGER_vect) {
    trigger_rose = 1;
}

static void trigger_on_rise(void) {
#if defined(__AVR_ATmega2560__)
    EICRB = (1U << ISC41) | (1U << ISC40);
#else
    EICRA = (1U << ISC01) | (1U << ISC00);
#endif
    EIFR = TRIGGER_MASK; /* choosing the edge may have raised the flag */
    EIMSK = TRIGGER_MASK;
}

void inputs_init(void) {
    pin_pull_up(PIN_INTERLOCK);
    pin_pull_up(PIN_GATE);
    pin_input(PIN_TRIGGER_IN); /* no pull-up: it would rise by itself whenever the other board resets */
    trigger_rose = 0;
    trigger_on_rise();
}

uint8_t inputs_interlock_is_closed(void) {
    return !pin_is_high(PIN_INTERLOCK);
}

uint8_t inputs_gate_is_open(void) {
    return pin_is_high(PIN_GATE);
}

uint8_t inputs_take_trigger(void) {
    uint8_t rose = trigger_rose;
    if (rose) {
        trigger_rose = 0;
    }
    return rose;
}
