/* The converter and the plant before it: photodetector voltages that follow the LEDs, with noise.
 *
 * A conversion takes the voltage 1.5 converter clocks after its start (13.5 in the first one), of the channel that was
 * selected at its start, and is x 1024 / Vref as on silicon; simavr takes it when ADCL is read, x 1023, without noise.
 * Not modelled: fewer real bits at a fast converter clock, the wait for the next converter clock, auto-trigger.
 */
#include "emulator.h"

enum { UNIFORMS = 12, UNIFORM_BITS = 16 };

/* xorshift64*, and the sum of twelve uniforms: whole numbers, so that every machine draws the same noise. */
static int64_t gaussian(analog_t *analog, int64_t sigma) {
    int64_t sum = 0;
    for (int i = 0; i < UNIFORMS; i++) {
        analog->random ^= analog->random >> 12;
        analog->random ^= analog->random << 25;
        analog->random ^= analog->random >> 27;
        sum += (int64_t)((analog->random * 0x2545F4914F6CDD1Dull) >> (64 - UNIFORM_BITS));
    }
    return ((sum - ((UNIFORMS / 2) << UNIFORM_BITS)) * sigma) >> UNIFORM_BITS;
}

static int64_t reference(board_t *board) {
    avr_adc_t *io = board->analog.io;
    uint16_t kind = io->ref_values[avr_regbit_get_array(board->avr, io->ref, 3)];
    if (kind == ADC_VREF_V110 || kind == ADC_VREF_V256) return kind * 1000;
    return 5000000;
}

static avr_cycle_count_t take(avr_t *avr, avr_cycle_count_t when, void *param) {
    board_t *board = param;
    analog_t *analog = &board->analog;
    int64_t microvolts = 0;
    (void)avr;
    (void)when;
    if (analog->channel_kind == ADC_MUX_REF) microvolts = 1100000;
    if (analog->channel_kind == ADC_MUX_SINGLE) {
        microvolts = analog->microvolts[analog->channel][analog->led_state];
        if (analog->noise_microvolts[analog->channel])
            microvolts += gaussian(analog, analog->noise_microvolts[analog->channel]);
    }
    int64_t counts = microvolts * 1024 / reference(board);
    analog->result = (uint16_t)(counts < 0 || microvolts < 0 ? 0 : counts > 1023 ? 1023 : counts);
    return 0;
}

static void on_start(struct avr_irq_t *irq, uint32_t value, void *param) {
    board_t *board = param;
    analog_t *analog = &board->analog;
    avr_adc_t *io = analog->io;
    union {
        uint32_t value;
        avr_adc_mux_t mux;
    } selected = {.value = value};
    uint32_t prescaler = avr_regbit_get_array(board->avr, io->adps, 3);
    uint64_t half_clock = (1u << (prescaler ? prescaler : 1u)) / 2;
    (void)irq;
    analog->previous = analog->result;
    analog->channel_kind = selected.mux.kind;
    analog->channel = selected.mux.src & (CHANNELS - 1);
    analog->result_at = board->avr->cycle + half_clock * 2 * (io->first ? 25 : 13);
    avr_cycle_timer_register(board->avr, half_clock * (io->first ? 27 : 3), take, board);
}

static uint8_t read_result(avr_t *avr, avr_io_addr_t addr, void *param) {
    analog_t *analog = &((board_t *)param)->analog;
    uint16_t result = avr->cycle >= analog->result_at ? analog->result : analog->previous;
    if (avr_regbit_get(avr, analog->io->adlar)) result = (uint16_t)(result << 6);
    return (uint8_t)(addr == analog->io->r_adch ? result >> 8 : result);
}

/* ADIF is cleared by writing a one and kept by writing a zero; simavr stores what is written. */
static void write_control(avr_t *avr, avr_io_addr_t addr, uint8_t value, void *param) {
    board_t *board = param;
    avr_int_vector_t *vector = &board->analog.io->adc;
    uint8_t flag = (uint8_t)(1u << vector->raised.bit), before = avr->data[addr] & flag;
    if (value & flag) {
        vector->pending = 0;
        before = 0;
    }
    board->analog.write_control(avr, addr, (uint8_t)((value & (uint8_t)~flag) | before), board->analog.write_param);
}

void analog_leds(board_t *board) {
    analog_t *analog = &board->analog;
    for (int led = 0; led < 2; led++) {
        port_t *port = analog->led_port[led] ? board_port(board, (char)analog->led_port[led]) : 0;
        uint8_t lit = port ? port->out >> analog->led_bit[led] & 1u : 0;
        analog->led_state = (uint8_t)((analog->led_state & ~(1u << led)) | (uint32_t)lit << led);
    }
}

void analog_reset(board_t *board) { board->analog.result_at = 0; }

void analog_attach(board_t *board, avr_adc_t *io) {
    avr_t *avr = board->avr;
    board->analog.io = io;
    avr->io[AVR_DATA_TO_IO(io->r_adcl)].r.c = read_result;
    avr->io[AVR_DATA_TO_IO(io->r_adcl)].r.param = board;
    avr->io[AVR_DATA_TO_IO(io->r_adch)].r.c = read_result;
    avr->io[AVR_DATA_TO_IO(io->r_adch)].r.param = board;
    board->analog.write_control = avr->io[AVR_DATA_TO_IO(io->r_adcsra)].w.c;
    board->analog.write_param = avr->io[AVR_DATA_TO_IO(io->r_adcsra)].w.param;
    avr->io[AVR_DATA_TO_IO(io->r_adcsra)].w.c = write_control;
    avr->io[AVR_DATA_TO_IO(io->r_adcsra)].w.param = board;
    avr_irq_register_notify(&io->io.irq[ADC_IRQ_OUT_TRIGGER], on_start, board);
}
