/* The board's codec for a host program that compares it with another one. Never linked into firmware. */
#include "framing_library.h"

#include <string.h>

uint32_t library_framing_size(void) {
    return sizeof(framing_t);
}

uint32_t library_feed(framing_t *framing, const uint8_t *line, uint32_t bytes, uint8_t *out) {
    uint32_t written = 0;
    for (uint32_t at = 0; at < bytes; at++) {
        uint8_t length = framing_take(framing, line[at]);
        if (length > 0) {
            out[written++] = length;
            memcpy(&out[written], framing_payload(framing), length);
            written += length;
        }
    }
    return written;
}

void library_counts(const framing_t *framing, uint32_t counts[2]) {
    counts[0] = framing->frames;
    counts[1] = framing->damaged;
}

static uint8_t *put_at;

static void put(uint8_t byte) {
    *put_at++ = byte;
}

uint32_t library_encode(const uint8_t *payload, uint8_t length, uint8_t *frame) {
    put_at = frame;
    framing_send(payload, length, put);
    return (uint32_t)(put_at - frame);
}
