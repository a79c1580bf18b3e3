/* SPI as master: a byte takes eight clocks of the divider that is set, and is logged when sent. simavr: 100 us each. */
#include "emulator.h"

static uint64_t byte_cycles(board_t *board) {
    avr_t *avr = board->avr;
    uint8_t control = avr->data[board->spi->r_spcr];
    uint64_t divisor = (uint64_t)4 << (2u * (control & 3u));
    if ((control & 3u) == 3u) divisor = 128;
    return 8u * (avr->data[board->spi->r_spsr] & 1u ? divisor / 2 : divisor);
}

static avr_cycle_count_t shifted(avr_t *avr, avr_cycle_count_t when, void *param) {
    board_t *board = param;
    (void)when;
    board_log(board, EVENT_SPI, board->spi_byte);
    avr_raise_interrupt(avr, &board->spi->spi);
    return 0;
}

static void write_data(avr_t *avr, avr_io_addr_t addr, uint8_t value, void *param) {
    board_t *board = param;
    (void)addr;
    avr_regbit_clear(avr, board->spi->spi.raised);
    if (!avr_regbit_get(avr, board->spi->spe) || !avr_regbit_get(avr, board->spi->mstr)) return;
    board->spi_byte = value;
    avr_cycle_timer_register(avr, byte_cycles(board), shifted, board);
}

static uint8_t read_data(avr_t *avr, avr_io_addr_t addr, void *param) {
    board_t *board = param;
    (void)addr;
    avr_regbit_clear(avr, board->spi->spi.raised);
    return 0;
}

void spi_attach(board_t *board) {
    if (!board->spi) return;
    avr_io_addr_t data = AVR_DATA_TO_IO(board->spi->r_spdr);
    board->avr->io[data].w.c = write_data;
    board->avr->io[data].w.param = board;
    board->avr->io[data].r.c = read_data;
    board->avr->io[data].r.param = board;
}
