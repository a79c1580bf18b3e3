/* The level through an MCP4921 on SPI, 12 bits: see level.h. On the Uno its clock is D13, then no armed lamp. */
#include <avr/io.h>

#include "level.h"
#include "pins.h"

#define ACTIVE_GAIN_1 0x3000U /* the upper four bits: unbuffered reference, gain 1, active */

static uint16_t sent = 0xFFFFU;

static void send_byte(uint8_t byte) {
    SPDR = byte;
    while (!(SPSR & (1U << SPIF))) { /* eight bits at 8 MHz: 1 us */
    }
}

void level_init(void) {
    pin_output(PIN_LEVEL);
    pin_output(PIN_SPI_SELECT);
    pin_output(PIN_DAC_SELECT);
    pin_high(PIN_DAC_SELECT);
    pin_output(PIN_DAC_DATA);
    pin_output(PIN_DAC_CLOCK);
    SPCR = (1U << SPE) | (1U << MSTR);
    SPSR = 1U << SPI2X;
    sent = 0xFFFFU;
    level_set(0);
}

void level_set(uint16_t level) {
    uint16_t word = ACTIVE_GAIN_1 | (uint16_t)(level >> 4);
    if (word == sent) {
        return;
    }
    sent = word;
    pin_low(PIN_DAC_SELECT);
    send_byte((uint8_t)(word >> 8));
    send_byte((uint8_t)word);
    pin_high(PIN_DAC_SELECT);
}
