/* Two faults of simavr's interrupt flags.
 *
 * An interrupt that is enabled while its flag is already up does not fire there: it does on silicon, and here. A write
 * to a flag register of a timer clears all its flags there: on silicon, and here, only those written as ones.
 */
#include <stdlib.h>

#include "emulator.h"

static void raise_late(struct avr_irq_t *irq, uint32_t value, void *param) {
    enable_t *enable = param;
    avr_t *avr = enable->board->avr;
    (void)irq;
    (void)value;
    for (int i = 0; i < enable->count; i++) {
        avr_int_vector_t *vector = enable->vectors[i];
        if (vector->pending || !avr_regbit_get(avr, vector->enable)) continue;
        if (avr_regbit_get(avr, vector->raised)) avr_raise_interrupt(avr, vector);
    }
}

static enable_t *enable_at(board_t *board, uint16_t reg) {
    for (int i = 0; i < board->enable_count; i++)
        if (board->enables[i].vectors[0]->enable.reg == reg) return &board->enables[i];
    enable_t *enable = &board->enables[board->enable_count];
    if (board->enable_count == ENABLE_REGISTERS) abort();
    board->enable_count++;
    enable->board = board;
    avr_irq_register_notify(avr_iomem_getirq(board->avr, reg, 0, AVR_IOMEM_IRQ_ALL), raise_late, enable);
    return enable;
}

static void clear_written(avr_t *avr, avr_int_vector_t *vector, uint16_t addr, uint8_t value) {
    if (vector->raised.reg != addr || !(value & (1u << vector->raised.bit))) return;
    vector->pending = 0;
    avr_regbit_clear(avr, vector->raised);
}

static void write_flags(avr_t *avr, avr_io_addr_t addr, uint8_t value, void *param) {
    (void)param;
    for (int i = 0; i < avr->interrupts.vector_count; i++)
        clear_written(avr, avr->interrupts.vector[i], addr, value);
}

static void own_flags(board_t *board, uint16_t reg) {
    if (!reg) return;
    board->avr->io[AVR_DATA_TO_IO(reg)].w.c = write_flags;
    board->avr->io[AVR_DATA_TO_IO(reg)].w.param = board;
}

static void own_vector(board_t *board, avr_int_vector_t *vector) {
    if (!vector->enable.reg || !vector->raised.reg) return;
    enable_t *enable = enable_at(board, vector->enable.reg);
    if (enable->count == VECTORS_EACH) abort();
    enable->vectors[enable->count++] = vector;
}

void interrupts_attach(board_t *board) {
    avr_int_table_p table = &board->avr->interrupts;
    for (int i = 0; i < table->vector_count; i++) own_vector(board, table->vector[i]);
    for (char name = '0'; name <= '5'; name++) {
        avr_timer_t *timer = board_module(board, "timer", name);
        if (timer) own_flags(board, timer->overflow.raised.reg);
    }
    if (board->extint) own_flags(board, board->extint->eint[0].vector.raised.reg);
}
