/* The line to the host: 8N1 at BAUD, both directions through rings filled and emptied by interrupts. Never waits.
 *
 * Lost bytes are counted, by the hardware's own flag and by a full ring; nothing here knows what the bytes mean.
 */
#ifndef CLOSEDLOOP_SERIAL_H
#define CLOSEDLOOP_SERIAL_H
#include <stdint.h>

#ifndef BAUD
#define BAUD 500000UL
#endif

void serial_init(void);

/* Takes the oldest received byte. Returns 0 where there is none. */
uint8_t serial_read(uint8_t *byte);

/* How many bytes there is room for now, 0 to 255. */
uint8_t serial_room(void);

/* Whether there is room for a frame of this length: it is sent whole or not at all. Returns 0, and counts an overrun,
 * if there is not. */
uint8_t serial_claim(uint8_t length);

/* Queues a byte of a frame that there is room for. */
void serial_put(uint8_t byte);

/* Received bytes lost, by the UART or a full ring, and frames that found no room, since the start. */
uint32_t serial_overruns(void);

#endif
