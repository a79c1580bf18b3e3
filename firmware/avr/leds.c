/* The excitation LEDs' start-up. */
#include "leds.h"

void leds_init(void) {
    pin_output(PIN_LED_SIGNAL);
    pin_output(PIN_LED_CONTROL);
}
