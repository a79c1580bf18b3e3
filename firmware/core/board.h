/* What every board answers, whatever its role: who it is, what time it has, and how its line has been.
 *
 * The layer below supplies board_send; the core never waits and never knows whether a message went out.
 */
#ifndef CLOSEDLOOP_BOARD_H
#define CLOSEDLOOP_BOARD_H
#include <stdint.h>

#include "framing.h"
#include "wire.h"

#define BOARD_FIRMWARE 1

typedef struct {
    uint8_t kind;        /* BOARD_... */
    uint8_t reset_cause; /* RESET_CAUSE_... */
    uint64_t unique_id;
    uint32_t overruns; /* what the board lost by itself: received bytes, readings; kept by the layer below */
    framing_t in;
} board_t;

/* Frames a payload (message number first) and queues it for the host. Supplied by the layer below. */
void board_send(const void *payload, uint8_t length);

/* Starts anew, and says who is here. */
void board_init(board_t *board, uint8_t kind, uint8_t reset_cause, uint64_t unique_id);

/* Answers what every board answers, at this tick. Returns 1 if the payload was such a question, else 0. */
uint8_t board_obey(board_t *board, const uint8_t *payload, uint8_t length, uint32_t now);

/* Sends a message: its number, then the struct of wire.h (NULL and 0 where it has no fields). */
void board_say(uint8_t number, const void *fields, uint8_t length);

#endif
