/* libFuzzer target: any bytes through the board's codec. It may count damage; it may do nothing else.
 *
 * The frame is judged here by a second reader of COBS that looks at the whole line, so the two must agree.
 */
#include <stdlib.h>
#include <string.h>

#include "framing_library.h"

/* The payload length of the frame line[from..to), 0 if it is damaged; the payload goes to `payload`. */
static size_t read_frame(const uint8_t *line, size_t from, size_t to, uint8_t *payload) {
    uint8_t checked[FRAMING_MAX_FRAME];
    size_t held = 0;
    if (to - from > FRAMING_MAX_FRAME - 1) {
        return 0;
    }
    while (from < to) {
        size_t code = line[from++];
        if (code - 1 > to - from) {
            return 0;
        }
        memcpy(&checked[held], &line[from], code - 1);
        held += code - 1;
        from += code - 1;
        if (from < to) {
            checked[held++] = 0;
        }
    }
    if (held < 5) {
        return 0;
    }
    uint32_t check = framing_crc32(checked, (uint8_t)(held - 4));
    for (int at = 0; at < 4; at++) {
        if (checked[held - 4 + (size_t)at] != (uint8_t)(check >> 8 * at)) {
            return 0;
        }
    }
    memcpy(payload, checked, held - 4);
    return held - 4;
}

static void check_line(const uint8_t *line, size_t size) {
    framing_t framing;
    framing_init(&framing);
    uint32_t good = 0, damaged = 0;
    size_t from = 0;
    for (size_t at = 0; at < size; at++) {
        uint8_t length = framing_take(&framing, line[at]);
        uint8_t payload[FRAMING_MAX_FRAME] = {0};
        size_t expected = line[at] == 0 ? read_frame(line, from, at, payload) : 0;
        if (length != expected || (length > 0 && memcmp(framing_payload(&framing), payload, length) != 0)) {
            abort();
        }
        good += length > 0;
        damaged += line[at] == 0 && at > from && length == 0;
        from = line[at] == 0 ? at + 1 : from;
    }
    if (framing.frames != good || framing.damaged != damaged) {
        abort();
    }
}

static void check_round_trip(const uint8_t *payload, uint8_t length) {
    uint8_t frame[FRAMING_MAX_FRAME];
    uint8_t size = (uint8_t)library_encode(payload, length, frame);
    if (size != length + 6 || memchr(frame, 0, size) != &frame[size - 1]) {
        abort();
    }
    framing_t framing;
    framing_init(&framing);
    for (uint8_t at = 0; at < size; at++) {
        uint8_t got = framing_take(&framing, frame[at]);
        if (got != (at + 1 == size ? length : 0)) {
            abort();
        }
    }
    if (memcmp(framing_payload(&framing), payload, length) != 0) {
        abort();
    }
}

/* Good frames cannot be guessed, because of the check: so the second half of the work begins with frames and spoils
 * them. Each record is a length, that many bytes of payload, and what is done to its frame. */
static void check_spoiled(const uint8_t *data, size_t size) {
    uint8_t line[1024];
    size_t held = 0, at = 0;
    while (at + 4 < size && held + FRAMING_MAX_FRAME < sizeof line) {
        uint8_t length = (uint8_t)(1 + data[at] % FRAMING_MAX_PAYLOAD);
        if (at + 4 + length > size) {
            break;
        }
        uint8_t bytes = (uint8_t)library_encode(&data[at + 4], length, &line[held]);
        line[held + data[at + 1] % bytes] ^= data[at + 2];
        held += (data[at + 3] & 1) ? bytes : data[at + 3] % bytes;
        at += 4U + length;
    }
    check_line(line, held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_line(data, size);
    check_spoiled(data, size);
    if (size > 0 && size <= FRAMING_MAX_PAYLOAD) {
        check_round_trip(data, (uint8_t)size);
    }
    return 0;
}
