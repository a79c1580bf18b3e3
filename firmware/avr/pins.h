/* Which pin is what, on Uno, Nano and Mega, and how a pin is read and set. Nowhere else is a port named.
 *
 * A pin is "the address of its PORT register, its bit"; DDR and PIN lie one and two below. D and A are the print's.
 */
#ifndef CLOSEDLOOP_PINS_H
#define CLOSEDLOOP_PINS_H
#include <avr/io.h>
#include <stdint.h>
#include <util/atomic.h>

#if defined(__AVR_ATmega328P__)
#define PIN_LIGHT_GATE &PORTB, PB1 /* D9 = OC1A: high is light */
#define PIN_LEVEL &PORTD, PD3      /* D3 = OC2B: PWM of the level */
#define PIN_LIGHT_COPY &PORTB, PB0 /* D8: TTL copy of the light */
#define PIN_INTERLOCK &PORTD, PD4  /* D4: contact to GND, closed is low */
#define PIN_GATE &PORTB, PB4       /* D12: light is forbidden while low */
#define PIN_TRIGGER_IN &PORTD, PD2 /* D2 = INT0 */
#define PIN_ARMED &PORTB, PB5      /* D13: lamp; it is SCK of the DAC, which then has it */
#define PIN_LED_SIGNAL &PORTD, PD6     /* D6: 470 nm */
#define PIN_LED_CONTROL &PORTD, PD5    /* D5: 405 nm */
#define PIN_TRIGGER_OUT &PORTD, PD7    /* D7 */
#define PIN_DETECTOR &PORTC, PC0       /* A0 */
#define PIN_LIGHT_COPY_IN &PORTC, PC1  /* A1: the stimulator's TTL copy */
#define PIN_INPUT_0 &PORTC, PC2        /* A2 */
#define PIN_INPUT_1 &PORTC, PC3        /* A3 */
#define PIN_INPUT_2 &PORTC, PC4        /* A4 */
#define PIN_DEAD_TIME &PORTC, PC5      /* A5 */
#define PIN_DAC_SELECT &PORTB, PB2     /* D10 = SS */
#define PIN_DAC_DATA &PORTB, PB3       /* D11 = MOSI */
#define PIN_DAC_CLOCK &PORTB, PB5      /* D13 = SCK */
#define PIN_SPI_SELECT PIN_DAC_SELECT
#elif defined(__AVR_ATmega2560__)
#define PIN_LIGHT_GATE &PORTB, PB5 /* D11 = OC1A: high is light */
#define PIN_LEVEL &PORTB, PB4      /* D10 = OC2A: PWM of the level; D9, an Uno's light, stays free: wired so, it is dark */
#define PIN_LIGHT_COPY &PORTH, PH5 /* D8: TTL copy of the light */
#define PIN_INTERLOCK &PORTG, PG5  /* D4: contact to GND, closed is low */
#define PIN_GATE &PORTB, PB6       /* D12: light is forbidden while low */
#define PIN_TRIGGER_IN &PORTE, PE4 /* D2 = INT4 */
#define PIN_ARMED &PORTB, PB7      /* D13: lamp */
#define PIN_LED_SIGNAL &PORTH, PH3     /* D6: 470 nm */
#define PIN_LED_CONTROL &PORTE, PE3    /* D5: 405 nm */
#define PIN_TRIGGER_OUT &PORTH, PH4    /* D7 */
#define PIN_DETECTOR &PORTF, PF0       /* A0 */
#define PIN_LIGHT_COPY_IN &PORTF, PF1  /* A1: the stimulator's TTL copy */
#define PIN_INPUT_0 &PORTF, PF2        /* A2 */
#define PIN_INPUT_1 &PORTF, PF3        /* A3 */
#define PIN_INPUT_2 &PORTF, PF4        /* A4 */
#define PIN_DEAD_TIME &PORTF, PF5      /* A5 */
#define PIN_DAC_SELECT &PORTB, PB4     /* D10 */
#define PIN_DAC_DATA &PORTB, PB2       /* D51 = MOSI */
#define PIN_DAC_CLOCK &PORTB, PB1      /* D52 = SCK */
#define PIN_SPI_SELECT &PORTB, PB0     /* D53 = SS: the SPI is master only while this is an output */
#else
#error "the pins of this chip are not known: ATmega328P (Uno, Nano) or ATmega2560 (Mega)"
#endif

#define PINS_INLINE static inline __attribute__((always_inline, unused))

/* A port above 0x3F has no instruction that sets one bit, and an interrupt may want another bit of the same port. */
PINS_INLINE void pin_change(volatile uint8_t *port, uint8_t bit, uint8_t high) {
    uint8_t mask = (uint8_t)(1U << bit);
    if ((uint16_t)port < 0x40U) {
        *port = high ? (uint8_t)(*port | mask) : (uint8_t)(*port & (uint8_t)~mask);
        return;
    }
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        *port = high ? (uint8_t)(*port | mask) : (uint8_t)(*port & (uint8_t)~mask);
    }
}

PINS_INLINE void pin_high(volatile uint8_t *port, uint8_t bit) {
    pin_change(port, bit, 1);
}

PINS_INLINE void pin_low(volatile uint8_t *port, uint8_t bit) {
    pin_change(port, bit, 0);
}

/* Whether the pin itself is high, whoever drives it. */
PINS_INLINE uint8_t pin_is_high(volatile uint8_t *port, uint8_t bit) {
    return (*(port - 2) & (uint8_t)(1U << bit)) != 0;
}

/* An output, low. */
PINS_INLINE void pin_output(volatile uint8_t *port, uint8_t bit) {
    pin_change(port, bit, 0);
    pin_change(port - 1, bit, 1);
}

/* An input without pull-up. */
PINS_INLINE void pin_input(volatile uint8_t *port, uint8_t bit) {
    pin_change(port - 1, bit, 0);
    pin_change(port, bit, 0);
}

/* An input that reads high when nothing is connected. */
PINS_INLINE void pin_pull_up(volatile uint8_t *port, uint8_t bit) {
    pin_change(port - 1, bit, 0);
    pin_change(port, bit, 1);
}

#endif
