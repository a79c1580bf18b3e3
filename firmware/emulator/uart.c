/* UART0, true to time: frames of the length that UBRR, U2X and UCSRC give, a two-byte buffer and a shift register each
 * way as on silicon, DOR0 where the receiver overran.
 *
 * It replaces simavr's, which counts eleven bits for 8N1, holds 64 bytes, lets two of them be read early, and never
 * overruns. Of four unread bytes the newest is lost; which one silicon loses is not known to us.
 */
#include <string.h>

#include "emulator.h"

static uint64_t byte_cycles(board_t *board) {
    avr_t *avr = board->avr;
    avr_uart_t *io = board->uart.io;
    uint8_t format = avr->data[io->r_ucsrc];
    uint64_t divisor = 1u + avr_regbit_get(avr, io->ubrrl) + ((uint64_t)avr_regbit_get(avr, io->ubrrh) << 8);
    uint64_t bits = 1u + 5u + ((format >> 1) & 3u) + ((format & 0x30u) ? 1u : 0u) + ((format & 8u) ? 2u : 1u);
    return bits * divisor * (avr_regbit_get(avr, io->u2x) ? 8u : 16u);
}

static void lower(avr_t *avr, avr_int_vector_t *vector) {
    vector->pending = 0;
    avr_regbit_clear(avr, vector->raised);
}

static avr_cycle_count_t frame_end(avr_t *avr, avr_cycle_count_t when, void *param);

static avr_cycle_count_t frame_start(avr_t *avr, avr_cycle_count_t when, void *param) {
    board_t *board = param;
    uart_t *uart = &board->uart;
    item_t *next = queue_first(&uart->line);
    if (!next) {
        uart->busy = 0;
        return 0;
    }
    if (next->cycle > when) return next->cycle;
    uart->arriving = (uint8_t)next->value;
    queue_pop(&uart->line);
    uart->lost = uart->unread >= 3 || !avr_regbit_get(avr, uart->io->rxen);
    if (uart->lost) {
        avr_regbit_set(avr, uart->io->dor);
        board_log(board, EVENT_OVERRUN, uart->arriving);
    }
    avr_cycle_timer_register(avr, when + byte_cycles(board) - avr->cycle, frame_end, board);
    return 0;
}

/* A frame of the wire is COBS: its second byte is the number of the message, unless that is 0. */
static void note_received(board_t *board) {
    uart_t *uart = &board->uart;
    if (uart->arriving) {
        if (uart->frame_bytes == 1) uart->frame_number = uart->arriving;
        if (uart->frame_bytes < 255) uart->frame_bytes++;
        return;
    }
    board_log(board, EVENT_RECEIVED, uart->frame_number);
    uart->frame_bytes = uart->frame_number = 0;
}

static avr_cycle_count_t frame_end(avr_t *avr, avr_cycle_count_t when, void *param) {
    board_t *board = param;
    uart_t *uart = &board->uart;
    if (!uart->lost && avr_regbit_get(avr, uart->io->rxen)) {
        uart->fifo[uart->unread++] = uart->arriving;
        avr_raise_interrupt(avr, &uart->io->rxc);
        note_received(board);
    }
    avr_cycle_count_t again = frame_start(avr, when, board);
    if (again) avr_cycle_timer_register(avr, again > avr->cycle ? again - avr->cycle : 0, frame_start, board);
    return 0;
}

static uint8_t read_data(avr_t *avr, avr_io_addr_t addr, void *param) {
    uart_t *uart = &((board_t *)param)->uart;
    uint8_t byte = uart->fifo[0];
    (void)addr;
    avr_regbit_clear(avr, uart->io->dor);
    if (uart->unread) {
        uart->unread--;
        memmove(uart->fifo, uart->fifo + 1, 2);
    }
    if (uart->unread)
        avr_raise_interrupt(avr, &uart->io->rxc);
    else
        lower(avr, &uart->io->rxc);
    return byte;
}

static avr_cycle_count_t sent(avr_t *avr, avr_cycle_count_t when, void *param) {
    board_t *board = param;
    uart_t *uart = &board->uart;
    if (!uart->has_holding) {
        avr_raise_interrupt(avr, &uart->io->txc);
        return 0;
    }
    uart->has_holding = 0;
    uart->tx_end = when + byte_cycles(board);
    queue_push(&uart->sent, uart->tx_end, 0, uart->holding);
    avr_raise_interrupt(avr, &uart->io->udrc);
    return uart->tx_end;
}

static void write_data(avr_t *avr, avr_io_addr_t addr, uint8_t byte, void *param) {
    board_t *board = param;
    uart_t *uart = &board->uart;
    (void)addr;
    if (!avr_regbit_get(avr, uart->io->txen) || uart->has_holding) return;
    if (uart->tx_end > avr->cycle) {
        uart->holding = byte;
        uart->has_holding = 1;
        lower(avr, &uart->io->udrc);
        return;
    }
    uart->tx_end = avr->cycle + byte_cycles(board);
    queue_push(&uart->sent, uart->tx_end, 0, byte);
    avr_cycle_timer_register(avr, uart->tx_end - avr->cycle, sent, board);
    avr_raise_interrupt(avr, &uart->io->udrc);
}

static void write_status(avr_t *avr, avr_io_addr_t addr, uint8_t value, void *param) {
    avr_uart_t *io = ((board_t *)param)->uart.io;
    if (value & (1u << io->txc.raised.bit)) lower(avr, &io->txc);
    avr->data[addr] = (uint8_t)((avr->data[addr] & 0xFCu) | (value & 0x03u));
}

static void write_control(avr_t *avr, avr_io_addr_t addr, uint8_t value, void *param) {
    uart_t *uart = &((board_t *)param)->uart;
    avr->data[addr] = value;
    if (avr_regbit_get(avr, uart->io->rxen)) return;
    uart->unread = 0;
    lower(avr, &uart->io->rxc);
}

void uart_send(board_t *board, const uint8_t *bytes, uint32_t count, uint64_t earliest) {
    avr_t *avr = board->avr;
    for (uint32_t i = 0; i < count; i++) queue_push(&board->uart.line, earliest, 0, bytes[i]);
    if (!count || board->uart.busy) return;
    board->uart.busy = 1;
    avr_cycle_timer_register(avr, earliest > avr->cycle ? earliest - avr->cycle : 0, frame_start, board);
}

void uart_attach(board_t *board, avr_uart_t *io) {
    avr_t *avr = board->avr;
    board->uart.io = io;
    io->flags = 0;
    avr->io[AVR_DATA_TO_IO(io->r_udr)].r.c = read_data;
    avr->io[AVR_DATA_TO_IO(io->r_udr)].r.param = board;
    avr->io[AVR_DATA_TO_IO(io->r_udr)].w.c = write_data;
    avr->io[AVR_DATA_TO_IO(io->r_udr)].w.param = board;
    avr->io[AVR_DATA_TO_IO(io->r_ucsra)].r.c = 0;
    avr->io[AVR_DATA_TO_IO(io->r_ucsra)].w.c = write_status;
    avr->io[AVR_DATA_TO_IO(io->r_ucsra)].w.param = board;
    avr->io[AVR_DATA_TO_IO(io->r_ucsrb)].w.c = write_control;
    avr->io[AVR_DATA_TO_IO(io->r_ucsrb)].w.param = board;
    avr->io[AVR_DATA_TO_IO(io->ubrrl.reg)].w.c = 0;
}

/* What is on its way out is lost with the reset; what the host sends goes on, and falls on deaf ears at first. */
void uart_reset(board_t *board) {
    avr_t *avr = board->avr;
    uart_t *uart = &board->uart;
    while (uart->sent.count && uart->sent.items[(uart->sent.start + uart->sent.count - 1) & (uart->sent.capacity - 1)]
                                       .cycle > avr->cycle)
        uart->sent.count--;
    uart->unread = uart->has_holding = uart->busy = 0;
    uart->tx_end = 0;
    avr_regbit_clear(avr, uart->io->txen);
    avr->data[uart->io->r_ucsrc] = 0x06;
    if (!uart->line.count) return;
    uart->busy = 1;
    avr_cycle_timer_register(avr, 0, frame_start, board);
}
