/* The photometry DAQ board: it measures, tells, and may ask for light by its trigger line. It never gives light.
 *
 * Pins: avr/pins.h. Messages: docs/wire.md. The loop is a ranked list: the trigger line first, the host second.
 */
extern "C" {
#include "../avr/board_avr.h"
#include "../avr/clock.h"
#include "../avr/sampling.h"
#include "../avr/sketch.h"
#include "../core/board.h"
#include "../core/daq.h"
}

static board_t board;
static daq_t daq;

void setup(void) {
    sampling_init();
    daq_init(&daq, BAUD);
    board_start(&board, BOARD_DAQ);
}

static void take_reading(void) {
    daq_sums_t sums;
    uint16_t missed;
    if (sampling_take(&sums, &missed)) {
        daq_take(&daq, &sums, missed, clock_now());
    }
}

static void listen(void) {
    uint8_t idle;
    uint8_t length = board_listen(&board, &idle);
    if (length == 0) {
        return;
    }
    board.overruns += daq.lost; /* board_listen has just counted those of the line */
    const uint8_t *payload = framing_payload(&board.in);
    if (!board_obey(&board, payload, length, clock_now())) {
        daq_obey(&daq, payload, length);
    }
}

void loop(void) {
    board_alive();
    take_reading();
    daq_advance(&daq, clock_now());
    listen();
}
