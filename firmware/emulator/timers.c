/* The compare output of Timer1 (the light) and of Timer2 (its level).
 *
 * simavr moves the compare pin also on overflows and on writes to OCR; here a latch of our own takes real matches only,
 * and forced ones (FOC1A). Modes in which Timer1 has a top other than 0xFFFF are not checked.
 */
#include "emulator.h"

static uint8_t mode_a(board_t *board) { return avr_regbit_get(board->avr, board->timer1->comp[0].com); }

static uint8_t pwm(board_t *board) {
    return (board->avr->data[board->timer1->comp[0].com.reg] & 3u) != 0;
}

uint8_t oc1a_connected(board_t *board) { return mode_a(board) != avr_timer_com_normal; }

static void on_compare(struct avr_irq_t *irq, uint32_t value, void *param) {
    board_t *board = param;
    uint8_t mode = mode_a(board), level = value & 1u;
    (void)irq;
    if (pwm(board))
        board->latch = level;
    else if (mode == avr_timer_com_toggle)
        board->latch ^= 1u;
    else if ((mode == avr_timer_com_set) == level)
        board->latch = level;
    pins_refresh(board);
}

static void write_force(avr_t *avr, avr_io_addr_t addr, uint8_t value, void *param) {
    board_t *board = param;
    uint8_t mode = mode_a(board);
    avr->data[addr] = 0;
    if (!(value & 0x80u) || pwm(board)) return;
    if (mode == avr_timer_com_toggle) board->latch ^= 1u;
    if (mode == avr_timer_com_clear) board->latch = 0;
    if (mode == avr_timer_com_set) board->latch = 1;
    pins_refresh(board);
}

static void on_connect(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    (void)value;
    pins_refresh(param);
}

/* No program here reads Timer2's flags while it gives PWM: its 187,500 timer events a second are then left out. */
static void silence(board_t *board) {
    avr_t *avr = board->avr;
    avr_timer_t *timer = board->timer2;
    if (avr->data[timer->overflow.enable.reg]) return;
    for (avr_cycle_timer_slot_p slot = avr->cycle_timers.timer; slot;) {
        avr_cycle_timer_slot_p next = slot->next;
        if (slot->param == timer) {
            avr_cycle_timer_cancel(avr, slot->timer, timer);
            next = avr->cycle_timers.timer;
        }
        slot = next;
    }
}

static void on_level(struct avr_irq_t *irq, uint32_t value, void *param) {
    board_t *board = param;
    avr_timer_comp_t *comp = board->timer2->comp;
    uint32_t level = 256;
    (void)irq;
    (void)value;
    for (int at = AVR_TIMER_COMPA; at <= AVR_TIMER_COMPB; at++)
        if (avr_regbit_get(board->avr, comp[at].com)) level = board->avr->data[comp[at].r_ocr];
    silence(board);
    if (level == board->level) return;
    board->level = level;
    board_log(board, EVENT_LEVEL, level);
}

static void watch(board_t *board, uint16_t reg, avr_irq_notify_t notify) {
    avr_irq_register_notify(avr_iomem_getirq(board->avr, reg, 0, AVR_IOMEM_IRQ_ALL), notify, board);
}

void timers_attach(board_t *board) {
    avr_timer_t *timer = board->timer1;
    uint16_t control = timer->comp[0].com.reg, force = (uint16_t)(control + 2);
    avr_irq_register_notify(&timer->io.irq[TIMER_IRQ_OUT_COMP], on_compare, board);
    watch(board, control, on_connect);
    board->avr->io[AVR_DATA_TO_IO(force)].w.c = write_force;
    board->avr->io[AVR_DATA_TO_IO(force)].w.param = board;
    board->level = 256;
    watch(board, board->timer2->comp[0].com.reg, on_level);
    watch(board, board->timer2->cs[0].reg, on_level);
    watch(board, board->timer2->comp[AVR_TIMER_COMPA].r_ocr, on_level);
    watch(board, board->timer2->comp[AVR_TIMER_COMPB].r_ocr, on_level);
    timers_reset(board);
}

/* simavr joins compare outputs to pins anew at each reset; ours are the only ones that may move a pin. */
void timers_reset(board_t *board) {
    board->latch = 0;
    for (char name = '0'; name <= '5'; name++) {
        avr_timer_t *timer = board_module(board, "timer", name);
        for (int comp = 0; timer && comp < AVR_TIMER_COMP_COUNT; comp++) {
            port_t *port = board->ports;
            for (; port < board->ports + PORTS; port++)
                if (port->io && port->io->r_port == timer->comp[comp].com_pin.reg)
                    avr_unconnect_irq(&timer->io.irq[TIMER_IRQ_OUT_COMP + comp],
                                      &port->io->io.irq[timer->comp[comp].com_pin.bit]);
        }
    }
    if (board->level == 256) return;
    board->level = 256;
    board_log(board, EVENT_LEVEL, 256);
}
