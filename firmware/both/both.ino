/* Both roles on one board and one port: it measures, and it gives light within limits that no message can loosen.
 *
 * The loop is a ranked list: light first, then readings, then the host. It never waits. The trigger needs no wire.
 */
extern "C" {
#include "../avr/board_avr.h"
#include "../avr/clock.h"
#include "../avr/light.h"
#include "../avr/sampling.h"
#include "../avr/sketch.h"
#include "../core/daq.h"
}

static board_t board;
static stimulator_t stimulator;
static daq_t daq;

void setup(void) {
    sampling_init();
    daq_init(&daq, BAUD);
    board_start(&board, BOARD_BOTH);
    light_init(&stimulator);
}

static void take_reading(void) {
    daq_sums_t sums;
    uint16_t missed;
    if (sampling_take(&sums, &missed) && daq_take(&daq, &sums, missed, clock_now())) {
        light_trigger(&stimulator);
    }
}

static void hear_host(void) {
    uint8_t idle;
    uint8_t length = board_listen(&board, &idle);
    if (length == 0) {
        return;
    }
    board.overruns += daq.lost;
    const uint8_t *payload = framing_payload(&board.in);
    if (payload[0] >= WIRE_HEARTBEAT) {
        light_obey(&stimulator, payload, length);
    } else if (!board_obey(&board, payload, length, clock_now())) {
        daq_obey(&daq, payload, length);
    }
}

void loop(void) {
    board_alive();
    light_turn(&stimulator);
    daq_advance(&daq, clock_now());
    take_reading();
    light_turn(&stimulator);
    hear_host();
}
