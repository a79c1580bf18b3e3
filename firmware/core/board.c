/* The questions that every board answers. Nothing here knows a port or a pin. */
#include "board.h"

#include <string.h>

void board_say(uint8_t number, const void *fields, uint8_t length) {
    uint8_t payload[FRAMING_MAX_PAYLOAD];
    payload[0] = number;
    if (length > 0) {
        memcpy(&payload[1], fields, length);
    }
    board_send(payload, (uint8_t)(length + 1));
}

static void say_identity(const board_t *board) {
    wire_identity_t identity = {board->kind, BOARD_FIRMWARE, WIRE_HASH, board->unique_id, board->reset_cause};
    board_say(WIRE_IDENTITY, &identity, sizeof identity);
}

void board_init(board_t *board, uint8_t kind, uint8_t reset_cause, uint64_t unique_id) {
    framing_init(&board->in);
    board->kind = kind;
    board->reset_cause = reset_cause;
    board->unique_id = unique_id;
    board->overruns = 0;
    say_identity(board);
}

static void say_time(const uint8_t *payload, uint32_t now) {
    wire_clock_reply_t reply;
    memcpy(&reply.query, &payload[1], sizeof reply.query);
    reply.ticks = now;
    board_say(WIRE_CLOCK_REPLY, &reply, sizeof reply);
}

static void say_statistics(const board_t *board) {
    wire_statistics_t statistics = {board->in.frames, board->in.damaged, board->overruns};
    board_say(WIRE_STATISTICS, &statistics, sizeof statistics);
}

uint8_t board_obey(board_t *board, const uint8_t *payload, uint8_t length, uint32_t now) {
    if (payload[0] == WIRE_IDENTIFY && length == 1) {
        say_identity(board);
    } else if (payload[0] == WIRE_CLOCK_QUERY && length == 1 + sizeof(wire_clock_query_t)) {
        say_time(payload, now);
    } else if (payload[0] == WIRE_STATISTICS_QUERY && length == 1) {
        say_statistics(board);
    } else {
        return 0;
    }
    return 1;
}
