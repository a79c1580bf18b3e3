/* Pins: what each output drives, what each input is given from outside, external interrupts, and wires to other boards.
 *
 * An output counts as high only where it is driven high: an undriven pin counts as dark, as with a pull-down on the
 * gate. A level set from outside outlives resets, and outweighs a pull-up; simavr's does neither.
 */
#include <stdlib.h>

#include "emulator.h"

static uint8_t driven_high(board_t *board, port_t *port) {
    uint8_t ddr = board->avr->data[port->io->r_ddr];
    uint8_t high = ddr & board->avr->data[port->io->r_port];
    avr_regbit_t light = board->timer1->comp[0].com_pin;
    if (light.reg != port->io->r_port || !oc1a_connected(board)) return high;
    high &= (uint8_t)~(1u << light.bit);
    return board->latch ? high | (ddr & (uint8_t)(1u << light.bit)) : high;
}

static void carry(board_t *board, uint8_t letter, uint8_t bit, uint8_t level) {
    for (int i = 0; i < board->wire_count; i++) {
        wire_t *wire = &board->wires[i];
        if (wire->from_port != letter || wire->from_bit != bit) continue;
        uint64_t due = (uint64_t)((double)board->avr->cycle * (wire->to->rate / board->rate));
        queue_push(&wire->to->inputs, due, wire->what, wire->value << 1 | level);
        inputs_schedule(wire->to);
    }
}

static void refresh_port(board_t *board, port_t *port) {
    uint8_t out = driven_high(board, port), changed = out ^ port->out;
    port->out = out;
    for (uint8_t bit = 0; changed >> bit; bit++) {
        if (!(changed >> bit & 1u)) continue;
        uint8_t level = out >> bit & 1u;
        carry(board, (uint8_t)port->io->name, bit, level);
        if (!(port->muted >> bit & 1u))
            board_log(board, EVENT_PIN, (uint32_t)port->io->name << 16 | (uint32_t)bit << 8 | level);
    }
    if (changed) analog_leds(board);
}

void pins_refresh(board_t *board) {
    for (port_t *port = board->ports; port < board->ports + PORTS; port++)
        if (port->io) refresh_port(board, port);
}

static void on_port(struct avr_irq_t *irq, uint32_t value, void *param) {
    port_t *port = param;
    (void)irq;
    (void)value;
    refresh_port(port->board, port);
}

static uint8_t read_pin(avr_t *avr, avr_io_addr_t addr, void *param) {
    port_t *port = param;
    uint8_t ddr = avr->data[port->io->r_ddr], pulled = avr->data[port->io->r_port];
    uint8_t outside = (port->level & port->driven) | (pulled & (uint8_t)~port->driven);
    (void)addr;
    return (driven_high(port->board, port) & ddr) | (outside & (uint8_t)~ddr);
}

static void interrupt(board_t *board, char letter, uint8_t bit, uint8_t level) {
    for (int i = 0; board->extint && i < EXTINT_COUNT; i++) {
        avr_regbit_t *sense = board->extint->eint[i].isc;
        if (!board->extint->eint[i].port_ioctl) continue;
        if ((char)(board->extint->eint[i].port_ioctl & 0xFFu) != letter) continue;
        if (board->extint->eint[i].port_pin != bit) continue;
        uint8_t mode = avr_regbit_get_array(board->avr, sense, 2);
        if (mode == 1 || mode == (level ? 3 : 2)) avr_raise_interrupt(board->avr, &board->extint->eint[i].vector);
    }
}

void pins_set(board_t *board, char letter, uint8_t bit, uint8_t level) {
    port_t *port = board_port(board, letter);
    uint8_t mask = (uint8_t)(1u << bit), pulled, before;
    if (!port) return;
    pulled = board->avr->data[port->io->r_port] & mask;
    before = (port->driven & mask ? port->level & mask : pulled) != 0;
    port->driven |= mask;
    port->level = level ? port->level | mask : port->level & (uint8_t)~mask;
    avr_ioport_external_t external = {.name = letter & 0x7F, .mask = port->driven, .value = port->level};
    avr_ioctl(board->avr, AVR_IOCTL_IOPORT_SET_EXTERNAL(letter), &external);
    if (level == before) return;
    board_log(board, EVENT_INPUT, (uint32_t)(uint8_t)letter << 16 | (uint32_t)bit << 8 | level);
    avr_raise_irq(&port->io->io.irq[bit], level);
    interrupt(board, letter, bit, level);
}

static avr_cycle_count_t take_inputs(avr_t *avr, avr_cycle_count_t when, void *param) {
    board_t *board = param;
    item_t *next;
    (void)when;
    while ((next = queue_first(&board->inputs)) && next->cycle <= avr->cycle) {
        item_t taken = *next;
        queue_pop(&board->inputs);
        if (taken.what == INPUT_PIN)
            pins_set(board, (char)(taken.value >> 9), taken.value >> 1 & 7u, taken.value & 1u);
        else
            board->analog.led_state = (uint8_t)((board->analog.led_state & 3u) | (taken.value & 1u) << 2);
    }
    return next ? next->cycle : 0;
}

/* Edges of several senders reach a board in the order in which the senders were run: sorted to within one slice. */
void inputs_schedule(board_t *board) {
    item_t *next = queue_first(&board->inputs);
    if (!next) return;
    uint64_t now = board->avr->cycle;
    avr_cycle_timer_register(board->avr, next->cycle > now ? next->cycle - now : 0, take_inputs, board);
}

static void unjoin(board_t *board) {
    for (int i = 0; board->extint && i < EXTINT_COUNT; i++) {
        if (!board->extint->eint[i].port_ioctl) continue;
        port_t *port = board_port(board, (char)(board->extint->eint[i].port_ioctl & 0xFFu));
        if (port) avr_unconnect_irq(&port->io->io.irq[board->extint->eint[i].port_pin], &board->extint->io.irq[i]);
    }
}

void pins_reset(board_t *board) {
    unjoin(board);
    pins_refresh(board);
    inputs_schedule(board);
}

static void attach_port(board_t *board, port_t *port, avr_ioport_t *io) {
    avr_t *avr = board->avr;
    *port = (port_t){.io = io, .board = board};
    avr->io[AVR_DATA_TO_IO(io->r_pin)].r.c = read_pin;
    avr->io[AVR_DATA_TO_IO(io->r_pin)].r.param = port;
    avr_irq_register_notify(avr_iomem_getirq(avr, io->r_port, 0, AVR_IOMEM_IRQ_ALL), on_port, port);
    avr_irq_register_notify(avr_iomem_getirq(avr, io->r_ddr, 0, AVR_IOMEM_IRQ_ALL), on_port, port);
}

void pins_attach(board_t *board) {
    int count = 0;
    for (char name = 'A'; name <= 'L'; name++) {
        avr_ioport_t *io = board_module(board, "port", name);
        if (io && io->r_port) attach_port(board, &board->ports[count++], io);
    }
    unjoin(board);
}
