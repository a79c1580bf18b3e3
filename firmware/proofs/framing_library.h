/* The board's codec on whole frames and lines, for host programs alone. */
#ifndef CLOSEDLOOP_FRAMING_LIBRARY_H
#define CLOSEDLOOP_FRAMING_LIBRARY_H
#include "framing.h"

/* The memory of one decoder, in bytes. */
uint32_t library_framing_size(void);

/* Feeds a line. Writes each payload it completes as one length byte and the payload; returns the bytes written.
 * `out` holds at least as many bytes as the line: a frame is longer than its payload by more than the length byte. */
uint32_t library_feed(framing_t *framing, const uint8_t *line, uint32_t bytes, uint8_t *out);

/* How the line has been: good frames, then damaged ones. */
void library_counts(const framing_t *framing, uint32_t counts[2]);

/* The frame of a payload, closing zero included; returns its length, of at most FRAMING_MAX_FRAME. */
uint32_t library_encode(const uint8_t *payload, uint8_t length, uint8_t *frame);

#endif
