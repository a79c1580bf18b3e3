/* EEPROM: a write keeps EEPE up for 3.4 ms, and no other begins meanwhile. In simavr it is over at once. */
#include <simavr/avr_eeprom.h>

#include "emulator.h"

enum { WRITE_CYCLES = 54400 };

static avr_cycle_count_t written(avr_t *avr, avr_cycle_count_t when, void *param) {
    avr_eeprom_t *io = ((board_t *)param)->eeprom;
    (void)when;
    avr_regbit_clear(avr, io->eepe);
    return 0;
}

static void write_control(avr_t *avr, avr_io_addr_t addr, uint8_t value, void *param) {
    board_t *board = param;
    avr_eeprom_t *io = board->eeprom;
    uint8_t start = (uint8_t)(1u << io->eepe.bit), armed = avr_regbit_get(avr, io->eempe);
    if (avr->data[addr] & start) {
        avr->data[addr] = value | start;
        return;
    }
    board->write_eeprom(avr, addr, value, io);
    if (!armed || !(value & start)) return;
    avr->data[addr] |= start;
    avr_cycle_timer_register(avr, WRITE_CYCLES, written, board);
}

void eeprom_attach(board_t *board) {
    board->eeprom = board_module(board, "eeprom", 0);
    board->write_eeprom = board->avr->io[AVR_DATA_TO_IO(board->eeprom->r_eecr)].w.c;
    board->avr->io[AVR_DATA_TO_IO(board->eeprom->r_eecr)].w.c = write_control;
    board->avr->io[AVR_DATA_TO_IO(board->eeprom->r_eecr)].w.param = board;
}

/* A cell from outside: its content, or -1 beyond the last; a value of 0 to 255 is stored first. */
int emulator_eeprom(board_t *board, uint32_t cell, int value) {
    if (cell >= board->eeprom->size) return -1;
    if (value >= 0) board->eeprom->eeprom[cell] = (uint8_t)value;
    return board->eeprom->eeprom[cell];
}
