/* The converter's registers. Only sampling.c asks for conversions. */
#include "adc.h"

#define CLOCK_125_KHZ ((1U << ADPS2) | (1U << ADPS1) | (1U << ADPS0)) /* 16 MHz / 128 */
#define CLOCK_500_KHZ ((1U << ADPS2) | (1U << ADPS0))                 /* 16 MHz / 32 */

void adc_init(void) {
    ADMUX = (uint8_t)(1U << REFS0); /* AVcc; channel 0 */
    ADCSRB = 0;
    DIDR0 = (uint8_t)(1U << ADC0D);
    adc_set_pace(104);
}

void adc_set_pace(uint8_t conversion_us) {
    uint8_t clock = conversion_us <= 26 ? CLOCK_500_KHZ : CLOCK_125_KHZ;
    ADCSRA = (uint8_t)((1U << ADEN) | (1U << ADIF) | (1U << ADIE) | clock);
}

void adc_abort(void) {
    uint8_t settings = (uint8_t)(ADCSRA & (uint8_t)~(1U << ADSC));
    ADCSRA = (uint8_t)(settings & (uint8_t)~(1U << ADEN));
    ADCSRA = (uint8_t)(settings | (1U << ADEN) | (1U << ADIF));
}
