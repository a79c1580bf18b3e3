/* Reads and writes any register on request, counts interrupts: the tests' hand on the emulated silicon.
 *
 * Requests: R lo hi -> value; W lo hi value; X n then n times (lo hi value), written back to back with interrupts off;
 * I, i interrupts on, off; Q n: stays deaf for n x 10 us, then sends the number of bytes it still found, and for each
 * its UCSR0A and itself; T n: sends n bytes without a pause; H: hangs with a watchdog of 16 ms; S: sleeps for good;
 * Z: sleeps with interrupts off; P: programs the EEPROM cell that is set up.
 */
#include <avr/sleep.h>
#include <util/delay.h>

#include "probe.h"

volatile uint16_t matches_a, matches_b, overflows, triggers, conversions, transfers;
volatile uint16_t survivor;
volatile uint32_t noise __attribute__((section(".noinit"))); /* what power-up left there */
volatile uint8_t cause;

ISR(TIMER1_COMPA_vect) { matches_a++; }
ISR(TIMER1_COMPB_vect) { matches_b++; }
ISR(TIMER1_OVF_vect) { overflows++; }
ISR(ADC_vect) { conversions++; }
ISR(SPI_STC_vect) { transfers++; }
ISR(INT0_vect) { triggers++; }
#ifdef INT4_vect
ISR(INT4_vect) { triggers++; }
#endif

static volatile uint8_t *address(void) {
    uint16_t low = get();
    return (volatile uint8_t *)(low | (uint16_t)get() << 8);
}

static void write_together(void) {
    volatile uint8_t *where[4];
    uint8_t what[4], count = get();
    for (uint8_t i = 0; i < count; i++) {
        where[i] = address();
        what[i] = get();
    }
    cli();
    for (uint8_t i = 0; i < count; i++) *where[i] = what[i];
}

static void stay_deaf(void) {
    uint8_t status[8], bytes[8], count = 0;
    for (uint8_t wait = get(); wait; wait--) _delay_us(10);
    while (count < 8 && (status[count] = UCSR0A) & _BV(RXC0)) bytes[count++] = UDR0;
    put(count);
    for (uint8_t i = 0; i < count; i++) {
        put(status[i]);
        put(bytes[i]);
    }
}

static void sleep_for_good(void) {
    set_sleep_mode(SLEEP_MODE_IDLE);
    sei();
    for (;;) sleep_mode();
}

int main(void) {
    cause = MCUSR;
    MCUSR = 0;
    wdt_disable();
    uart_begin();
    for (;;) {
        volatile uint8_t *where;
        switch (get()) {
            case 'R': put(*address()); break;
            case 'W':
                where = address();
                *where = get();
                break;
            case 'X': write_together(); break;
            case 'I': sei(); break;
            case 'i': cli(); break;
            case 'Q': stay_deaf(); break;
            case 'T':
                for (uint8_t left = get(); left; left--) put(left);
                break;
            case 'H':
                wdt_enable(WDTO_15MS);
                for (;;) {}
            case 'S': sleep_for_good(); break;
            case 'Z': sleep_mode(); break;
            case 'P':
                EECR |= _BV(EEMPE);
                EECR |= _BV(EEPE);
                break;
        }
    }
}
