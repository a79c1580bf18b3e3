/* The two excitation LEDs: one of them at most is on. They are not the light that acts on the animal. */
#ifndef CLOSEDLOOP_LEDS_H
#define CLOSEDLOOP_LEDS_H
#include "pins.h"

static inline void leds_dark(void) {
    pin_low(PIN_LED_SIGNAL);
    pin_low(PIN_LED_CONTROL);
}

/* 405 nm alone. */
static inline void leds_control(void) {
    pin_low(PIN_LED_SIGNAL);
    pin_high(PIN_LED_CONTROL);
}

/* 470 nm alone. */
static inline void leds_signal(void) {
    pin_low(PIN_LED_CONTROL);
    pin_high(PIN_LED_SIGNAL);
}

/* Both are outputs, and off. */
void leds_init(void);

#endif
