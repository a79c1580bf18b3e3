/* What the probe firmwares share: a UART at 1 Mbaud by polling, and a stopped watchdog. No claim is tested here. */
#ifndef PROBE_H
#define PROBE_H
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/wdt.h>
#include <stdint.h>

#ifndef PROBE_UBRR
#define PROBE_UBRR 1
#endif

static inline void uart_begin(void) {
    UBRR0 = PROBE_UBRR;
    UCSR0A = _BV(U2X0);
    UCSR0B = _BV(RXEN0) | _BV(TXEN0);
}

static inline void put(uint8_t byte) {
    while (!(UCSR0A & _BV(UDRE0))) {}
    UDR0 = byte;
}

static inline void put16(uint16_t value) {
    put((uint8_t)value);
    put((uint8_t)(value >> 8));
}

static inline uint8_t get(void) {
    while (!(UCSR0A & _BV(RXC0))) {}
    return UDR0;
}
#endif
