/* The DAQ board's whole behaviour, without its pins: messages and finished readings in; readings and a trigger out.
 *
 * closedloop/simulation/daq_board.py is its twin on the line. Not re-entrant: everything is called from the main loop,
 * never from an interrupt. It must never light anything: the trigger line only asks, and the stimulator decides.
 */
#ifndef CLOSEDLOOP_DAQ_H
#define CLOSEDLOOP_DAQ_H
#include <stdint.h>

#include "watch.h"
#include "wire.h"

#define DAQ_INPUTS 3
#define DAQ_TRIGGER_US 500
#define DAQ_OWN_RATE_MHZ 130000UL
#define DAQ_LEAST_RATE_MHZ 10000UL
#define DAQ_MOST_RATE_MHZ 1000000UL
#define DAQ_READING_FRAME 35 /* bytes of a reading on the line */
#define DAQ_RESERVE 80       /* bytes of the line's buffer that readings leave to other messages */

/* One period: dark, control and signal phase of equal length, then dead time until the next period begins. */
typedef struct {
    uint32_t period_us;
    uint16_t phase_us;     /* settle time and conversions, with some time in hand */
    uint16_t settle_us;    /* from a change of LEDs to the first conversion */
    uint8_t conversions;   /* summed in each phase */
    uint8_t conversion_us; /* of one, at the converter's clock: 104 at 125 kHz, 26 at 500 kHz */
} daq_plan_t;

/* What one period gave: sums of the conversions. */
typedef struct {
    uint32_t ticks; /* at which the signal phase ended: its last conversion was done */
    uint16_t dark;
    uint16_t control;
    uint16_t signal;
    uint16_t inputs;
    uint16_t flags;
} daq_sums_t;

typedef struct {
    watch_t watch;
    daq_plan_t plan;
    uint32_t most_rate_mhz; /* that the line or the converter can carry */
    uint32_t next_seq;
    uint32_t sent;    /* of this stream, or the last one */
    uint32_t dropped; /* taken, or due, but not sent */
    uint32_t lost;    /* readings dropped and readings that lack conversions, since the start */
    uint32_t trigger_since;
    wire_reading_t taken; /* judged, and to be sent at the next daq_advance */
    uint8_t is_unsent;
    uint8_t trigger_is_high;
    uint8_t streaming;
} daq_t;

/* Supplied by the layer below: the sampling itself, room on the line in bytes, and the trigger line. */
void daq_begin_sampling(const daq_plan_t *plan);
void daq_end_sampling(void);
uint8_t daq_line_room(void);
void daq_trigger_line(uint8_t high);

/* The plan for a rate in readings per 1000 s, from DAQ_LEAST_RATE_MHZ to DAQ_MOST_RATE_MHZ. */
daq_plan_t daq_plan(uint32_t rate_mhz);

/* The highest rate that a line of so many bits a second can carry, not above what the converter can. */
uint32_t daq_most_rate_mhz(uint32_t baud);

/* Start-up: silent, trigger line low, nobody watches. */
void daq_init(daq_t *daq, uint32_t baud);

/* Obeys one payload. Returns 1 if it was for a DAQ, else 0. */
uint8_t daq_obey(daq_t *daq, const uint8_t *payload, uint8_t length);

/* A period is over: judges its reading, and raises the trigger line where it must (returns 1). `missed` periods before
 * it were overwritten before the main loop came to take them. The reading is left to daq_advance: light comes first. */
uint8_t daq_take(daq_t *daq, const daq_sums_t *sums, uint16_t missed, uint32_t now);

/* Sends the reading that was taken, if any, and ends a trigger pulse. Called once a turn, after daq_take. */
void daq_advance(daq_t *daq, uint32_t now);

#endif
