/* The chip's start, its watchdog and its id: see board_avr.h. */
#include "board_avr.h"

#include <avr/eeprom.h>
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/wdt.h>

#include "clock.h"
#include "pins.h"

#define MOST_BYTES_A_TURN 8 /* so that light is never kept waiting by a chattering line */
#define NOT_CLEARED __attribute__((section(".noinit"))) /* these outlive the clearing of the RAM, which comes later */

static uint8_t reset_flags NOT_CLEARED;
static uint8_t bootloader_flags NOT_CLEARED;

/* Runs before anything else, before the RAM is even cleared: dark. It also leaves the watchdog on, which after a
 * watchdog reset stands at 16 ms, too short for what follows. */
void dark_first(void) __attribute__((naked, used, section(".init3")));
void dark_first(void) {
    pin_output(PIN_LIGHT_GATE);
    pin_output(PIN_LIGHT_COPY);
    pin_output(PIN_LEVEL);
    __asm__ __volatile__("sts %0, r2" : "=m"(bootloader_flags));
    reset_flags = MCUSR;
    MCUSR = 0;
    wdt_enable(WDTO_60MS);
}

/* Optiboot clears MCUSR, and its newer versions hand it on in r2; older ones leave rubbish there. An external reset
 * reaches the sketch by way of the bootloader's own watchdog reset, so "external" goes before "watchdog". */
static uint8_t reset_cause(void) {
    uint8_t flags = reset_flags;
    if (flags == 0 && bootloader_flags < 0x10U) {
        flags = bootloader_flags;
    }
    if (flags & (1U << PORF)) {
        return RESET_CAUSE_POWER_ON;
    }
    if (flags & (1U << BORF)) {
        return RESET_CAUSE_BROWN_OUT;
    }
    return (flags & (1U << EXTRF)) || !(flags & (1U << WDRF)) ? RESET_CAUSE_EXTERNAL : RESET_CAUSE_WATCHDOG;
}

#define ID_PLACE 16U /* not at 0, where a failing supply writes */

typedef struct {
    uint32_t words[2];
    uint32_t check;
} id_t;

extern uint8_t __heap_start; /* by the linker: where this program's RAM ends */

/* What the RAM beyond the program's own holds after power-up differs from chip to chip. */
static id_t new_id(void) {
    id_t id = {{0x811C9DC5UL, 0x9E3779B9UL}, 0};
    for (const volatile uint8_t *ram = &__heap_start; ram < (const volatile uint8_t *)SP; ram++) {
        uint32_t *word = &id.words[(uint16_t)ram & 1U];
        *word = (*word ^ *ram) * 16777619UL;
    }
    id.check = framing_crc32((const uint8_t *)id.words, sizeof id.words);
    return id;
}

static void keep_id(const id_t *id) {
    const uint8_t *bytes = (const uint8_t *)id;
    for (uint8_t i = 0; i < sizeof *id; i++) {
        wdt_reset(); /* a byte takes 3.4 ms */
        eeprom_update_byte((uint8_t *)(ID_PLACE + i), bytes[i]);
    }
    eeprom_busy_wait();
}

static uint64_t unique_id(void) {
    id_t id;
    eeprom_read_block(&id, (const void *)ID_PLACE, sizeof id);
    if (framing_crc32((const uint8_t *)id.words, sizeof id.words) != id.check) {
        wdt_reset(); /* the RAM of the Mega takes 20 ms */
        id = new_id();
        keep_id(&id);
    }
    return ((uint64_t)id.words[1] << 32) | id.words[0];
}

void board_start(board_t *board, uint8_t kind) {
    cli();
    TIMSK2 = 0;
    EIMSK = 0;
    clock_init();
    serial_init();
    uint64_t id = unique_id();
    wdt_reset();
    sei();
    board_init(board, kind, reset_cause(), id);
}

void board_alive(void) {
    wdt_reset();
}

uint8_t board_listen(board_t *board, uint8_t *idle) {
    uint8_t byte;
    *idle = 1;
    for (uint8_t taken = 0; taken < MOST_BYTES_A_TURN && serial_read(&byte); taken++) {
        *idle = 0;
        uint8_t length = framing_take(&board->in, byte);
        if (length > 0) {
            board->overruns = serial_overruns();
            return length;
        }
    }
    return 0;
}

/* The line sends a frame's first bytes while its last ones are still being made. */
void board_send(const void *payload, uint8_t length) {
    if (serial_claim((uint8_t)(length + FRAMING_BYTES))) {
        framing_send(payload, length, serial_put);
    }
}
