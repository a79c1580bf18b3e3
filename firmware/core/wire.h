/* Printed by `python -m closedloop.wire`; do not edit. Fields are little endian and packed. */
#ifndef CLOSEDLOOP_WIRE_H
#define CLOSEDLOOP_WIRE_H
#include <stdint.h>

#define WIRE_HASH 0xE2950BF2UL

#define BOARD_DAQ 1
#define BOARD_STIMULATOR 2
#define BOARD_BOTH 3

#define RESET_CAUSE_POWER_ON 1
#define RESET_CAUSE_EXTERNAL 2
#define RESET_CAUSE_BROWN_OUT 3
#define RESET_CAUSE_WATCHDOG 4

#define STATE_DISARMED 1
#define STATE_ARMED 2
#define STATE_TRIPPED 3

#define REASON_NONE 0
#define REASON_NOT_ARMED 1
#define REASON_INTERLOCK_OPEN 2
#define REASON_BUSY 3
#define REASON_ON_TIME 4
#define REASON_OFF_TIME 5
#define REASON_DUTY_SHORT 6
#define REASON_DUTY_LONG 7
#define REASON_TRAIN_RATE 8
#define REASON_LEVEL 9
#define REASON_BAD_REQUEST 10
#define REASON_LATE 11
#define REASON_LEASE_EXPIRED 12
#define REASON_HOST_DARK 13
#define REASON_HOST_DISARMED 14
#define REASON_LIMITS_UNSET 15
#define REASON_GATE_CLOSED 16

#define FEATURE_SIGNAL 1
#define FEATURE_SIGNAL_LESS_CONTROL 2

#define FLAG_SIGNAL_SATURATED 1
#define FLAG_CONTROL_SATURATED 2
#define FLAG_DROPPED_CONVERSIONS 4
#define FLAG_LIGHT 8
#define FLAG_NO_CONTROL 16
#define FLAG_TRIGGER 32

#define CEILING_ON_US 1000000UL
#define CEILING_OFF_US 2000UL
#define CEILING_SHORT_WINDOW_MS 60000UL
#define CEILING_SHORT_ON_MS 15000UL
#define CEILING_LONG_WINDOW_MS 600000UL
#define CEILING_LONG_ON_MS 60000UL
#define CEILING_TRAINS_PER_MINUTE 60UL
#define CEILING_LEASE_MS 500UL
#define CEILING_LEVEL 65535UL
#define ON_BOARD_TRAIN 2147483648UL

/* Host to board: who is there? */
#define WIRE_IDENTIFY 0x01

/* Board to host: sent when asked and once after each start. */
#define WIRE_IDENTITY 0x02
typedef struct __attribute__((packed)) {
    uint8_t board;
    uint16_t firmware;
    uint32_t wire_hash;
    uint64_t unique_id;
    uint8_t reset_cause;
} wire_identity_t;

/* Host to board: what time is it? */
#define WIRE_CLOCK_QUERY 0x03
typedef struct __attribute__((packed)) {
    uint32_t query;
} wire_clock_query_t;

/* Board to host: the ticks at which the query was understood. */
#define WIRE_CLOCK_REPLY 0x04
typedef struct __attribute__((packed)) {
    uint32_t query;
    uint32_t ticks;
} wire_clock_reply_t;

/* Host to board: how has the link been? */
#define WIRE_STATISTICS_QUERY 0x05

/* Board to host: counts since the board started. */
#define WIRE_STATISTICS 0x06
typedef struct __attribute__((packed)) {
    uint32_t frames;
    uint32_t damaged_frames;
    uint32_t overruns;
} wire_statistics_t;

/* Host to DAQ: start streaming; a rate of 0 means the board's own. */
#define WIRE_STREAM_START 0x10
typedef struct __attribute__((packed)) {
    uint32_t rate_mhz;
} wire_stream_start_t;

/* DAQ to host: the stream as it will be; sent before the first reading. */
#define WIRE_STREAM_SETTINGS 0x11
typedef struct __attribute__((packed)) {
    uint32_t rate_mhz;
    uint32_t nano_units;
    uint8_t inputs;
} wire_stream_settings_t;

/* Host to DAQ: stop streaming. */
#define WIRE_STREAM_STOP 0x12

/* DAQ to host: the stream has ended; what was sent, so that what is missing can be counted exactly. */
#define WIRE_STREAM_END 0x13
typedef struct __attribute__((packed)) {
    uint32_t sent;
    uint32_t dropped;
} wire_stream_end_t;

/* DAQ to host: one reading. Flags as in `Flag`. */
#define WIRE_READING 0x14
typedef struct __attribute__((packed)) {
    uint32_t seq;
    uint32_t ticks;
    int32_t signal_lit;
    int32_t signal_dark;
    int32_t control_lit;
    int32_t control_dark;
    uint16_t inputs;
    uint16_t flags;
} wire_reading_t;

/* DAQ to host: line or converter can't carry that rate; the highest that they can. */
#define WIRE_STREAM_REFUSED 0x15
typedef struct __attribute__((packed)) {
    uint32_t most_mhz;
} wire_stream_refused_t;

/* Host to DAQ: watch the stream and raise the trigger line by yourself; a threshold of 0 ends that. */
#define WIRE_WATCH 0x16
typedef struct __attribute__((packed)) {
    uint8_t feature;
    uint8_t shift;
    uint16_t threshold;
    uint16_t release;
    uint16_t minimum;
    uint32_t warm_up;
    uint32_t refractory_us;
} wire_watch_t;

/* DAQ to host: CRC-32 of the Watch message that is now in force. */
#define WIRE_WATCH_SET 0x17
typedef struct __attribute__((packed)) {
    uint32_t crc;
} wire_watch_set_t;

/* Host to stimulator: a good reading arrived, this one; the lease starts anew. */
#define WIRE_HEARTBEAT 0x20
typedef struct __attribute__((packed)) {
    uint32_t seq;
} wire_heartbeat_t;

/* Host to stimulator: limits for the session. They may tighten the board's ceiling, never loosen it. */
#define WIRE_LIMITS 0x21
typedef struct __attribute__((packed)) {
    uint32_t on_us;
    uint32_t off_us;
    uint32_t short_window_ms;
    uint32_t short_on_ms;
    uint32_t long_window_ms;
    uint32_t long_on_ms;
    uint16_t trains_per_minute;
    uint16_t lease_ms;
    uint16_t level;
} wire_limits_t;

/* Stimulator to host: CRC-32 of the Limits message that is now in force, each value the tighter of the two. */
#define WIRE_LIMITS_SET 0x22
typedef struct __attribute__((packed)) {
    uint32_t crc;
} wire_limits_set_t;

/* Host to stimulator: light is allowed from now on; clears a trip. */
#define WIRE_ARM 0x23

/* Host to stimulator: dark, and no light until the next Arm. */
#define WIRE_DISARM 0x24

/* Stimulator to host: sent after every change of state, and after Dark. */
#define WIRE_STATUS 0x25
typedef struct __attribute__((packed)) {
    uint8_t state;
    uint8_t reason;
    uint32_t ticks;
} wire_status_t;

/* Host to stimulator: one train of light. Sent twice with one number it is delivered once. */
#define WIRE_FIRE 0x26
typedef struct __attribute__((packed)) {
    uint32_t train;
    uint32_t on_us;
    uint32_t period_us;
    uint16_t pulses;
    uint16_t level;
    uint32_t ramp_off_us;
    uint8_t scheduled;
    uint32_t start;
} wire_fire_t;

/* Stimulator to host: the train's first light, as delivered. */
#define WIRE_STARTED 0x27
typedef struct __attribute__((packed)) {
    uint32_t train;
    uint32_t on_ticks;
} wire_started_t;

/* Stimulator to host: the train is over; last light, as delivered. `reason` is not 0 if it was cut short. */
#define WIRE_FIRED 0x28
typedef struct __attribute__((packed)) {
    uint32_t train;
    uint32_t on_ticks;
    uint32_t off_ticks;
    uint16_t pulses;
    uint32_t lit_us;
    uint8_t reason;
} wire_fired_t;

/* Stimulator to host: this train was not and will not be delivered. */
#define WIRE_REFUSED 0x29
typedef struct __attribute__((packed)) {
    uint32_t train;
    uint8_t reason;
} wire_refused_t;

/* Host to stimulator: dark at once and disarm; always obeyed. */
#define WIRE_DARK 0x2A

/* Stimulator to host: tripped; dark until an explicit Arm. */
#define WIRE_TRIP 0x2B
typedef struct __attribute__((packed)) {
    uint8_t reason;
    uint32_t ticks;
} wire_trip_t;

/* Host to stimulator: the train of this session, to be begun by Begin; 0 pulses take it back. */
#define WIRE_PREPARE 0x2C
typedef struct __attribute__((packed)) {
    uint32_t on_us;
    uint32_t period_us;
    uint16_t pulses;
    uint16_t level;
    uint32_t ramp_off_us;
    uint8_t by_trigger;
} wire_prepare_t;

/* Stimulator to host: CRC-32 of the Prepare message that is now in force. */
#define WIRE_PREPARED 0x2D
typedef struct __attribute__((packed)) {
    uint32_t crc;
} wire_prepared_t;

/* Host to stimulator: the prepared train, now, under this number: Fire in a third of its bytes. */
#define WIRE_BEGIN 0x2E
typedef struct __attribute__((packed)) {
    uint32_t train;
} wire_begin_t;

#endif
