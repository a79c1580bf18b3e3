/* One emulated board: libsimavr's processor core with our own UART, pins, converter and SPI around it.
 *
 * simavr 1.6 runs the instructions, timers, watchdog and EEPROM. What it gets wrong is replaced here (README.md lists
 * each fault and its test). Nothing in this library reads a wall clock or a global random source: equal inputs give
 * bit-identical logs.
 */
#ifndef CLOSEDLOOP_EMULATOR_H
#define CLOSEDLOOP_EMULATOR_H
#include <stdint.h>

#include <simavr/avr_adc.h>
#include <simavr/avr_extint.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_spi.h>
#include <simavr/avr_timer.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>

enum { PORTS = 12, CHANNELS = 16, LED_STATES = 8, WIRES = 16, ENABLE_REGISTERS = 16, VECTORS_EACH = 8 };

/* What an event in the log is; its value is said beside it. */
enum {
    EVENT_PIN = 1,      /* output pin: port letter << 16 | bit << 8 | level driven */
    EVENT_OVERRUN = 2,  /* received byte lost, its value */
    EVENT_RESET = 3,    /* MCUSR after it */
    EVENT_LEVEL = 4,    /* duty of OC2B of 255, or 256 where the pin is not driven by the timer */
    EVENT_SPI = 5,      /* byte sent */
    EVENT_RECEIVED = 6, /* the zero that ends a frame has come in whole; the frame's second byte (message number) */
    EVENT_INPUT = 7,    /* external level: as EVENT_PIN */
    EVENT_CRASH = 8,    /* the processor stopped: simavr's state */
};

typedef struct {
    uint64_t cycle;
    uint32_t kind, value;
} event_t;

typedef struct {
    uint64_t cycle;
    uint32_t what, value;
} item_t; /* what and value: of a byte, of an event, of a change of input */

typedef struct {
    item_t *items;
    uint32_t start, count, capacity;
} queue_t;

typedef struct board board_t;

typedef struct {
    avr_ioport_t *io;
    uint8_t driven, level; /* inputs: which are driven from outside, and how */
    uint8_t out;           /* as last logged */
    uint8_t muted;         /* bits that are not logged */
    board_t *board;
} port_t;

typedef struct {
    avr_uart_t *io;
    queue_t line, sent;   /* host to board, not yet begun; board to host */
    uint8_t fifo[3];      /* two bytes of buffer and the shift register */
    uint8_t unread, busy, lost, arriving, holding, has_holding;
    uint8_t frame_bytes, frame_number; /* of the frame that is coming in */
    uint64_t tx_end;
} uart_t;

typedef struct {
    avr_adc_t *io;
    avr_io_write_t write_control;
    void *write_param;
    int64_t microvolts[CHANNELS][LED_STATES];
    int64_t noise_microvolts[CHANNELS];
    uint64_t random;
    uint64_t result_at;
    uint16_t result, previous;
    uint8_t channel_kind, channel, led_state;
    uint8_t led_port[2], led_bit[2]; /* 405 nm, 470 nm; letter 0: none */
} analog_t;

/* What carries a pin's level to another board (or the same one), with the level's voltage or light. */
typedef struct {
    board_t *to;
    uint8_t from_port, from_bit;
    uint32_t what, value; /* INPUT_..., and where to */
} wire_t;

enum { INPUT_PIN = 1, INPUT_LIGHT = 2 };

typedef struct {
    board_t *board;
    avr_int_vector_t *vectors[VECTORS_EACH];
    int count;
} enable_t;

struct board {
    avr_t *avr;
    double rate; /* true cycles of virtual time a second; carries a wire's edge from one crystal to another's */
    port_t ports[PORTS];
    uart_t uart;
    analog_t analog;
    avr_timer_t *timer1, *timer2;
    avr_extint_t *extint;
    avr_spi_t *spi;
    struct avr_eeprom_t *eeprom;
    avr_io_write_t write_eeprom;
    enable_t enables[ENABLE_REGISTERS];
    int enable_count, wire_count;
    wire_t wires[WIRES];
    queue_t events, inputs;
    void (*core_reset)(avr_t *avr);
    uint32_t level;
    uint8_t latch, was_reset, spi_byte;
    uint8_t hung, hung_bytes[2]; /* a main loop that was made to hang, and what stood there before */
    uint32_t hung_at;
};

/* queue.c */
void queue_push(queue_t *queue, uint64_t cycle, uint32_t what, uint32_t value);
item_t *queue_first(queue_t *queue);
void queue_pop(queue_t *queue);
void board_log(board_t *board, uint32_t kind, uint32_t value);

/* uart.c */
void uart_attach(board_t *board, avr_uart_t *io);
void uart_reset(board_t *board);
void uart_send(board_t *board, const uint8_t *bytes, uint32_t count, uint64_t earliest);

/* pins.c */
void pins_attach(board_t *board);
void pins_reset(board_t *board);
void pins_refresh(board_t *board);
void pins_set(board_t *board, char letter, uint8_t bit, uint8_t level);
void inputs_schedule(board_t *board);

/* timers.c */
void timers_attach(board_t *board);
void timers_reset(board_t *board);
uint8_t oc1a_connected(board_t *board);

/* analog.c */
void analog_attach(board_t *board, avr_adc_t *io);
void analog_reset(board_t *board);
void analog_leds(board_t *board);

/* spi.c */
void spi_attach(board_t *board);

/* eeprom.c */
void eeprom_attach(board_t *board);

/* interrupts.c */
void interrupts_attach(board_t *board);

port_t *board_port(board_t *board, char letter);
void *board_module(board_t *board, const char *kind, char name);

#endif
