/* Bytes to payloads and back, as closedloop/framing.py does it. No register is touched here.
 *
 * A frame is COBS(payload + CRC-32 of the payload, little endian) and one zero byte. Damage is counted, and nothing
 * that comes in on the line can do more than that.
 */
#ifndef CLOSEDLOOP_FRAMING_H
#define CLOSEDLOOP_FRAMING_H
#include <stdint.h>

#define FRAMING_MAX_PAYLOAD 64
#define FRAMING_BYTES 6 /* check, code byte and closing zero */
#define FRAMING_MAX_FRAME (FRAMING_MAX_PAYLOAD + FRAMING_BYTES)

typedef struct {
    uint32_t frames;  /* good ones since the start */
    uint32_t damaged; /* bad check, bad length, or overlong */
    uint8_t length;   /* bytes held of the unfinished frame */
    uint8_t left;     /* until the next code byte */
    uint8_t skipping; /* an overlong frame is being skipped until its zero */
    uint32_t crc;     /* of what has come so far */
    uint8_t bytes[FRAMING_MAX_FRAME - 2];
} framing_t;

/* Forgets everything. */
void framing_init(framing_t *framing);

/* Takes one byte. Returns the length of the payload that it completes, else 0. */
uint8_t framing_take(framing_t *framing, uint8_t byte);

/* The payload that framing_take announced; it lasts until the next byte is taken. */
const uint8_t *framing_payload(const framing_t *framing);

/* Where a frame's bytes go, one by one. */
typedef void (*framing_put_t)(uint8_t byte);

/* Hands on the frame of a payload of 1 to FRAMING_MAX_PAYLOAD bytes: FRAMING_BYTES more than it has. */
void framing_send(const uint8_t *payload, uint8_t length, framing_put_t put);

/* CRC-32 of zlib and Ethernet. */
uint32_t framing_crc32(const uint8_t *bytes, uint8_t length);

#endif
