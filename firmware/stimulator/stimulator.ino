/* The stimulator: gives light, within limits that no message can loosen. Everything is in avr/ and core/.
 *
 * The loop is a ranked list: light first, host second. It never waits.
 */
extern "C" {
#include "../avr/board_avr.h"
#include "../avr/clock.h"
#include "../avr/light.h"
#include "../avr/sketch.h"
}

static board_t board;
static stimulator_t stimulator;

void setup(void) {
    board_start(&board, BOARD_STIMULATOR);
    light_init(&stimulator);
}

static void hear_host(void) {
    uint8_t idle;
    uint8_t length = board_listen(&board, &idle);
    if (length == 0) {
        return;
    }
    const uint8_t *payload = framing_payload(&board.in);
    if (!board_obey(&board, payload, length, clock_now())) {
        light_obey(&stimulator, payload, length);
    }
}

void loop(void) {
    board_alive();
    light_turn(&stimulator);
    hear_host();
}
