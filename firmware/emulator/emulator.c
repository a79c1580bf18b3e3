/* Bringing a board up, running it, resetting it: the functions that Python calls.
 *
 * Cycles are the board's own. A run may end up to one instruction (four cycles) late; what is due is due by its cycle,
 * never by where a run ended.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <simavr/sim_elf.h>

#include "emulator.h"

enum { BURST_CYCLES = 1000000 };

static void quiet(avr_t *avr, const int level, const char *format, va_list arguments) {
    (void)avr;
    if (level == LOG_ERROR) vfprintf(stderr, format, arguments);
}

static void no_sleep(avr_t *avr, avr_cycle_count_t cycles) {
    (void)avr;
    (void)cycles;
}

void *board_module(board_t *board, const char *kind, char name) {
    for (avr_io_t *io = board->avr->io_port; io; io = io->next) {
        if (strcmp(io->kind, kind)) continue;
        char found = name;
        if (!strcmp(kind, "port")) found = ((avr_ioport_t *)io)->name;
        if (!strcmp(kind, "timer")) found = ((avr_timer_t *)io)->name;
        if (!strcmp(kind, "uart")) found = ((avr_uart_t *)io)->name;
        if (found == name) return io;
    }
    return 0;
}

port_t *board_port(board_t *board, char letter) {
    for (port_t *port = board->ports; port < board->ports + PORTS; port++)
        if (port->io && port->io->name == letter) return port;
    return 0;
}

enum { BOARDS = 64 };
static board_t *known[BOARDS];

static board_t *board_of(avr_t *avr) {
    for (int i = 0; i < BOARDS; i++)
        if (known[i] && known[i]->avr == avr) return known[i];
    abort();
}

static void on_reset(avr_t *avr) {
    board_t *board = board_of(avr);
    if (board->core_reset) board->core_reset(avr);
    board->was_reset = 1;
}

/* simavr's reset forgets every timer of ours, the levels outside, and reset values that are not 0. */
static void after_reset(board_t *board) {
    board->was_reset = 0;
    if (board->hung) memcpy(&board->avr->flash[board->hung_at], board->hung_bytes, 2);
    board->hung = 0;
    board->avr->run_cycle_limit = BURST_CYCLES;
    board->avr->sleep = no_sleep;
    uart_reset(board);
    timers_reset(board);
    analog_reset(board);
    pins_reset(board);
    board_log(board, EVENT_RESET, board->avr->data[board->avr->reset_flags.porf.reg]);
}

/* What power-up leaves in RAM, by a seed that is not 0. */
static void spoil_ram(avr_t *avr, uint64_t seed) {
    for (uint32_t i = avr->ioend + 1u; i <= avr->ramend; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        avr->data[i] = (uint8_t)(seed >> 56);
    }
}

board_t *emulator_new(const char *mcu, const char *elf, double rate, uint64_t seed) {
    elf_firmware_t firmware;
    int slot = 0;
    memset(&firmware, 0, sizeof firmware);
    avr_global_logger_set(quiet);
    while (slot < BOARDS && known[slot]) slot++;
    if (slot == BOARDS || elf_read_firmware(elf, &firmware)) return 0;
    board_t *board = calloc(1, sizeof *board);
    board->avr = avr_make_mcu_by_name(mcu);
    if (!board->avr) return 0;
    known[slot] = board;
    avr_init(board->avr);
    avr_load_firmware(board->avr, &firmware);
    board->avr->frequency = 16000000;
    board->avr->vcc = board->avr->avcc = board->avr->aref = 5000;
    board->avr->log = LOG_ERROR;
    board->rate = rate;
    board->analog.random = seed * 2 + 0x9E3779B97F4A7C15ull;
    board->core_reset = board->avr->reset;
    board->avr->reset = on_reset;
    board->timer1 = board_module(board, "timer", '1');
    board->timer2 = board_module(board, "timer", '2');
    board->extint = board_module(board, "extint", 0);
    board->spi = board_module(board, "spi", 0);
    pins_attach(board);
    uart_attach(board, board_module(board, "uart", '0'));
    analog_attach(board, board_module(board, "adc", 0));
    spi_attach(board);
    eeprom_attach(board);
    timers_attach(board);
    interrupts_attach(board);
    spoil_ram(board->avr, seed + 1);
    after_reset(board);
    board->events.count = 0;
    return board;
}

void emulator_free(board_t *board) {
    for (int i = 0; i < BOARDS; i++)
        if (known[i] == board) known[i] = 0;
    avr_terminate(board->avr);
    queue_t *queues[] = {&board->uart.line, &board->uart.sent, &board->events, &board->inputs};
    for (int i = 0; i < 4; i++) free(queues[i]->items);
    free(board->avr);
    free(board);
}

static avr_cycle_count_t halt(avr_t *avr, avr_cycle_count_t when, void *param) {
    (void)avr;
    (void)when;
    (void)param;
    return 0;
}

/* Runs to this cycle. Returns 0, or simavr's state where the processor has stopped for good. */
int emulator_run(board_t *board, uint64_t until) {
    avr_t *avr = board->avr;
    if (avr->cycle >= until) return 0;
    avr_cycle_timer_register(avr, until - avr->cycle, halt, board);
    while (avr->cycle < until) {
        int state = avr_run(avr);
        if (board->was_reset) {
            after_reset(board);
            if (until > avr->cycle) avr_cycle_timer_register(avr, until - avr->cycle, halt, board);
        }
        if (state != cpu_Done && state != cpu_Crashed) continue;
        board_log(board, EVENT_CRASH, (uint32_t)state);
        return state;
    }
    return 0;
}

static uint32_t is_due(board_t *board, uint64_t cycle) {
    item_t *next = queue_first(&board->uart.sent);
    return next && next->cycle <= cycle;
}

/* Runs all boards side by side in slices, so that no wire is late by more than one of them. `due` gets a bit for each
 * board that has bytes for the host by then. Returns 0, or 1 + the index of the board that stopped for good. */
int emulator_run_together(board_t **boards, const uint64_t *from, const uint64_t *until, uint32_t count,
                          uint32_t slices, uint32_t *due) {
    *due = 0;
    for (uint32_t slice = 1; slice <= slices; slice++) {
        for (uint32_t i = 0; i < count; i++) {
            int state = emulator_run(boards[i], from[i] + (until[i] - from[i]) * slice / slices);
            if (state) return (int)i + 1;
        }
    }
    for (uint32_t i = 0; i < count; i++) *due |= is_due(boards[i], until[i]) << i;
    return 0;
}

uint64_t emulator_cycle(board_t *board) { return board->avr->cycle; }

void emulator_write(board_t *board, const uint8_t *bytes, uint32_t count, uint64_t earliest) {
    uart_send(board, bytes, count, earliest);
}

/* Bytes whose last bit was out by this cycle; their number. */
uint32_t emulator_read(board_t *board, uint64_t until, uint64_t *cycles, uint8_t *bytes, uint32_t most) {
    uint32_t count = 0;
    item_t *next;
    while (count < most && (next = queue_first(&board->uart.sent)) && next->cycle <= until) {
        cycles[count] = next->cycle;
        bytes[count++] = (uint8_t)next->value;
        queue_pop(&board->uart.sent);
    }
    return count;
}

uint32_t emulator_events(board_t *board, event_t *events, uint32_t most) {
    uint32_t count = 0;
    item_t *next;
    while (count < most && (next = queue_first(&board->events))) {
        events[count++] = (event_t){next->cycle, next->what, next->value};
        queue_pop(&board->events);
    }
    return count;
}

void emulator_set_pin(board_t *board, char port, uint8_t bit, uint8_t level) { pins_set(board, port, bit, level); }

/* Which outputs of a port are driven high now. */
uint8_t emulator_outputs(board_t *board, char port) {
    port_t *found = board_port(board, port);
    return found ? found->out : 0;
}

void emulator_mute(board_t *board, char port, uint8_t bits) {
    port_t *found = board_port(board, port);
    if (found) found->muted = bits;
}

int emulator_wire(board_t *from, char port, uint8_t bit, board_t *to, uint32_t what, char to_port, uint8_t to_bit) {
    if (from->wire_count == WIRES || !board_port(from, port)) return -1;
    uint32_t value = (uint32_t)(uint8_t)to_port << 8 | to_bit;
    from->wires[from->wire_count++] = (wire_t){to, (uint8_t)port, bit, what, value};
    return 0;
}

void emulator_set_voltage(board_t *board, uint32_t channel, uint32_t led_state, int64_t microvolts, int64_t noise) {
    board->analog.microvolts[channel % CHANNELS][led_state % LED_STATES] = microvolts;
    board->analog.noise_microvolts[channel % CHANNELS] = noise;
}

void emulator_set_led(board_t *board, uint32_t led, char port, uint8_t bit) {
    board->analog.led_port[led & 1u] = (uint8_t)port;
    board->analog.led_bit[led & 1u] = bit;
    analog_leds(board);
}

uint8_t emulator_peek(board_t *board, uint32_t address) {
    return address <= board->avr->ramend ? board->avr->data[address] : 0;
}

void emulator_poke(board_t *board, uint32_t address, uint8_t value) {
    if (address <= board->avr->ramend) board->avr->data[address] = value;
}

/* The main loop turns no more, until a reset: the instruction that would come next becomes a jump to itself. Interrupts
 * go on, or not. */
void emulator_hang(board_t *board, uint8_t interrupts) {
    avr_t *avr = board->avr;
    if (!board->hung) memcpy(board->hung_bytes, &avr->flash[avr->pc], 2);
    board->hung = 1;
    board->hung_at = avr->pc;
    avr->flash[avr->pc] = 0xFF;
    avr->flash[avr->pc + 1] = 0xCF;
    if (!interrupts) avr->sreg[S_I] = 0;
}

uint32_t emulator_ram_end(board_t *board) { return board->avr->ramend; }

/* A reset by this flag of MCUSR; the processor stands still for so many cycles, as in a bootloader, with pins let go.
 * Power and brown-out leave garbage in RAM; the seed says which. */
void emulator_reset(board_t *board, uint8_t mcusr, uint64_t still, uint64_t garbage) {
    avr_t *avr = board->avr;
    avr_reset(avr);
    avr->data[avr->reset_flags.porf.reg] = mcusr;
    if (garbage) spoil_ram(avr, garbage);
    after_reset(board);
    avr->cycle += still;
}
