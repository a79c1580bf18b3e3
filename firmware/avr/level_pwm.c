/* The level as PWM of 62.5 kHz on OC2B (Mega: OC2A), 8 bits: see level.h. Smoothed by an RC filter, or taken as it is. */
#include <avr/io.h>

#include "level.h"
#include "pins.h"

#define FAST_PWM ((1U << WGM21) | (1U << WGM20))
#if defined(__AVR_ATmega2560__)
#define DUTY OCR2A
#define CONNECTED (1U << COM2A1)
#else
#define DUTY OCR2B
#define CONNECTED (1U << COM2B1)
#endif

void level_init(void) {
    pin_output(PIN_LEVEL);
    TIMSK2 = 0;
    ASSR = 0;
    DUTY = 0;
    TCCR2A = FAST_PWM;
    TCCR2B = 1U << CS20;
}

/* A compare value of 0 would still give a spike of 1/256, so at 0 the pin is disconnected, and low. */
void level_set(uint16_t level) {
    uint8_t duty = (uint8_t)(level >> 8);
    DUTY = duty;
    TCCR2A = duty > 0 ? FAST_PWM | CONNECTED : FAST_PWM;
}
