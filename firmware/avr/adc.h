/* The converter: one conversion of the photodetector's voltage (A0) at a time, 10 bits against the 5 V supply.
 *
 * Who wants more than one asks again in the interrupt that each of them ends with.
 */
#ifndef CLOSEDLOOP_ADC_H
#define CLOSEDLOOP_ADC_H
#include <avr/io.h>
#include <stdint.h>

#define ADC_TOP 1023

/* Switches the converter on, quiet. */
void adc_init(void);

/* Sets its clock: 500 kHz where a conversion may take 26 us, else the 125 kHz at which all 10 bits are good. */
void adc_set_pace(uint8_t conversion_us);

/* Ends a conversion without its interrupt. */
void adc_abort(void);

static inline void adc_start(void) {
    ADCSRA |= (uint8_t)(1U << ADSC);
}

static inline uint16_t adc_counts(void) {
    return ADC;
}

#endif
