/* The stimulator's core behind a few plain functions, for tests that hold it against its twin in Python. */
#include <string.h>

#include "board.h"
#include "stimulator.h"

static board_t board;
static stimulator_t stimulator;
static uint8_t out[1 << 16];
static uint32_t out_length;
static uint32_t edges[1 << 16][2];
static uint32_t edge_count;
static uint16_t level;

static void put(uint8_t byte) {
    if (out_length < sizeof out) {
        out[out_length++] = byte;
    }
}

void board_send(const void *payload, uint8_t length) {
    framing_send(payload, length, put);
}

static void look(uint32_t now) {
    uint16_t is = stimulator_level(&stimulator);
    if (is != level && edge_count < sizeof edges / sizeof edges[0]) {
        edges[edge_count][0] = now;
        edges[edge_count][1] = is;
        edge_count++;
        level = is;
    }
}

void twin_start(uint32_t now, uint32_t lead_us, uint32_t notice_us, uint64_t unique_id) {
    out_length = edge_count = 0;
    level = 0;
    board_init(&board, BOARD_STIMULATOR, RESET_CAUSE_POWER_ON, unique_id);
    stimulator_init(&stimulator, now, lead_us, notice_us);
    stimulator_interlock(&stimulator, 1, now);
    stimulator_gate(&stimulator, 1, now);
}

static uint32_t due_us(void) {
    uint32_t end = interlock_due(&stimulator.interlock);
    return stimulator.train.due_us < end ? stimulator.train.due_us : end;
}

/* Change by change, so that none is overlooked. */
void twin_advance(uint32_t now) {
    while (due_us() <= now - stimulator.now && now - stimulator.now < 0x80000000U) {
        uint32_t at = stimulator.now + due_us();
        stimulator_advance(&stimulator, at);
        look(at);
    }
    stimulator_advance(&stimulator, now);
    look(now);
}

void twin_receive(const uint8_t *bytes, uint32_t length, uint32_t now) {
    twin_advance(now);
    for (uint32_t at = 0; at < length; at++) {
        uint8_t size = framing_take(&board.in, bytes[at]);
        const uint8_t *payload = framing_payload(&board.in);
        if (size > 0 && !board_obey(&board, payload, size, now)) {
            stimulator_obey(&stimulator, payload, size, now);
        }
        look(now);
    }
}

void twin_interlock(uint8_t closed, uint32_t now) {
    twin_advance(now);
    stimulator_interlock(&stimulator, closed, now);
    look(now);
}

void twin_gate(uint8_t open, uint32_t now) {
    twin_advance(now);
    stimulator_gate(&stimulator, open, now);
    look(now);
}

void twin_trigger(uint32_t now) {
    twin_advance(now);
    stimulator_trigger(&stimulator, now);
    look(now);
}

uint32_t twin_output(uint8_t *bytes) {
    uint32_t length = out_length;
    memcpy(bytes, out, length);
    out_length = 0;
    return length;
}

uint32_t twin_edges(uint32_t *pairs) {
    uint32_t count = edge_count;
    memcpy(pairs, edges, count * sizeof edges[0]);
    edge_count = 0;
    return count;
}

uint8_t twin_state(void) {
    return stimulator.interlock.state;
}
