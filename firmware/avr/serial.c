/* The line to the host on USART0: see serial.h. */
#include "serial.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

#define DIVIDER (F_CPU / 8UL / BAUD)
#if F_CPU != 8UL * BAUD * DIVIDER
#error "this baud rate does not divide the clock: 250000, 500000 or 1000000 at 16 MHz"
#endif

#if defined(USART_RX_vect)
#define RECEIVED_vect USART_RX_vect
#define CAN_SEND_vect USART_UDRE_vect
#else
#define RECEIVED_vect USART0_RX_vect
#define CAN_SEND_vect USART0_UDRE_vect
#endif

#define IN_SIZE 128U
#define OUT_SIZE 256U /* its places are counted in eight bits, which wrap as the ring does */

static volatile uint8_t in_ring[IN_SIZE];
static volatile uint8_t in_end;   /* where the next byte goes */
static volatile uint8_t in_begin; /* the oldest byte */
static volatile uint8_t out_ring[OUT_SIZE];
static volatile uint8_t out_end;
static volatile uint8_t out_begin;
static volatile uint8_t lost; /* since `overruns` was brought up to date: the interrupt has no time for 32 bits */
static uint32_t overruns;

/* Takes all that waits: the UART holds less than three bytes, and another interrupt may have kept this one waiting. */
ISR(RECEIVED_vect) {
    uint8_t at = in_end;
    uint8_t status = UCSR0A;
    do {
        uint8_t byte = UDR0;
        uint8_t after = (uint8_t)((at + 1U) % IN_SIZE);
        if (status & (1U << DOR0)) {
            lost++;
        }
        if (after == in_begin) {
            lost++;
        } else {
            in_ring[at] = byte;
            at = after;
        }
        status = UCSR0A;
    } while (status & (1U << RXC0));
    in_end = at;
}

ISR(CAN_SEND_vect) {
    uint8_t at = out_begin;
    UDR0 = out_ring[at];
    at++;
    out_begin = at;
    if (at == out_end) {
        UCSR0B &= (uint8_t)~(1U << UDRIE0);
    }
}

void serial_init(void) {
    UCSR0B = 0;
    in_end = in_begin = 0;
    out_end = out_begin = 0;
    lost = 0;
    overruns = 0;
    UBRR0 = (uint16_t)(DIVIDER - 1UL);
    UCSR0A = 1U << U2X0;
    UCSR0C = (1U << UCSZ01) | (1U << UCSZ00);
    UCSR0B = (1U << RXEN0) | (1U << TXEN0) | (1U << RXCIE0);
}

static void count_lost(void) {
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        overruns += lost;
        lost = 0;
    }
}

uint8_t serial_read(uint8_t *byte) {
    if (lost > 0) {
        count_lost();
    }
    uint8_t at = in_begin;
    if (at == in_end) {
        return 0;
    }
    *byte = in_ring[at];
    in_begin = (uint8_t)((at + 1U) % IN_SIZE);
    return 1;
}

uint8_t serial_room(void) {
    return (uint8_t)(out_begin - out_end - 1);
}

uint8_t serial_claim(uint8_t length) {
    if (length > serial_room()) {
        overruns++;
        return 0;
    }
    return 1;
}

void serial_put(uint8_t byte) {
    out_ring[out_end] = byte;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) { /* the interrupt changes UCSR0B, too */
        out_end++;
        UCSR0B |= 1U << UDRIE0;
    }
}

uint32_t serial_overruns(void) {
    count_lost();
    return overruns;
}
