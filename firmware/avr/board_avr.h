/* What this chip is and how it started: dark pins first of all, reset cause, watchdog, an id of its own. */
#ifndef CLOSEDLOOP_BOARD_AVR_H
#define CLOSEDLOOP_BOARD_AVR_H
#include <stdint.h>

#include "../core/board.h"
#include "serial.h"

/* Starts the clock, the line and the watchdog, switches interrupts on, and says who is here. Called first in setup();
 * each part's own init has to follow within the watchdog's 60 ms. */
void board_start(board_t *board, uint8_t kind);

/* Tells the watchdog that the main loop lives. Called once a turn, and nowhere else. */
void board_alive(void);

/* Takes received bytes until a payload is complete, a few at most, and returns its length, else 0; it is then
 * framing_payload(&board->in), and board->overruns is what the line has lost so far, to which a DAQ adds its own.
 * Sets *idle to 1 where no byte was waiting, else 0. */
uint8_t board_listen(board_t *board, uint8_t *idle);

#endif
