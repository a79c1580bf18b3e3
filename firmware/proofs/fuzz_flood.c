/* A flood: so many bytes of spoiled line into the boards' codec and everything behind it, under the sanitizers.
 *
 *     fuzz-flood BYTES SEED
 *
 * libFuzzer looks for inputs that reach new code; this sends very many bytes, most of them of nearly good frames. The
 * judge knows no COBS and no check: a piece between two zeros that equals a frame that was sent, byte by byte, is that
 * frame, and any other piece that is not empty is damaged. Codec and judge must agree on every piece; what the codec
 * accepts and the judge does not is forged. What is accepted goes on to board, DAQ and stimulator, while time passes.
 *
 * The check has 32 bits: of 4.3 * 10^9 damaged frames with sound COBS one passes by chance, which 10^9 bytes meet once in
 * 400 runs. It is no message yet: its length has to be that of its number. `forged` counts the first, `forged messages`
 * those that a board would obey. It fails on one forged message, and on more forgeries than chance explains.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "board.h"
#include "daq.h"
#include "framing_library.h"
#include "stimulator.h"

#define POOL 512       /* frames drawn anew for each block */
#define OLD (2 * POOL) /* and those of the block before, whose last frame may end in this one */
#define FALSE_CHECKS 64
#define BLOCK_FRAMES 2048
#define LINE_BYTES (4 * BLOCK_FRAMES * FRAMING_MAX_FRAME)
#define BYTE_US 10 /* at 1 Mbaud */
#define SLOTS 4096 /* of the judge's table; a power of two, and far more than OLD */

typedef struct {
    uint8_t bytes[FRAMING_MAX_FRAME];
    uint8_t size; /* with the closing zero */
    uint8_t payload[FRAMING_MAX_PAYLOAD];
    uint8_t length;
} frame_t;

static frame_t pool[OLD + FALSE_CHECKS];
static uint16_t slots[SLOTS]; /* index in the pool + 1, by hash of the frame; 0: free */
static unsigned newest;       /* 0 or 1: which half of the pool is this block's */
static uint8_t line[LINE_BYTES], other[LINE_BYTES];

static board_t board;
static daq_t daq;
static stimulator_t stimulator;
static uint32_t now_us;
static uint64_t said, obeyed;

static uint64_t state;

/* xorshift64* (Vigna 2016). */
static uint32_t dice(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(state * 0x2545F4914F6CDD1DULL >> 32);
}

static uint32_t below(uint32_t end) {
    return (uint32_t)((uint64_t)dice() * end >> 32);
}

/* What the layers below supply */

void board_send(const void *payload, uint8_t length) {
    uint8_t frame[FRAMING_MAX_FRAME];
    said += library_encode(payload, length, frame);
}

void daq_begin_sampling(const daq_plan_t *plan) {
    (void)plan;
}

void daq_end_sampling(void) {
}

uint8_t daq_line_room(void) {
    return (uint8_t)dice();
}

void daq_trigger_line(uint8_t high) {
    (void)high;
}

/* What is sent */

static const struct {
    uint8_t number;
    uint8_t fields;
} MESSAGES[] = {
    {WIRE_IDENTIFY, 0},
    {WIRE_CLOCK_QUERY, sizeof(wire_clock_query_t)},
    {WIRE_STATISTICS_QUERY, 0},
    {WIRE_STREAM_START, sizeof(wire_stream_start_t)},
    {WIRE_STREAM_STOP, 0},
    {WIRE_WATCH, sizeof(wire_watch_t)},
    {WIRE_HEARTBEAT, sizeof(wire_heartbeat_t)},
    {WIRE_LIMITS, sizeof(wire_limits_t)},
    {WIRE_ARM, 0},
    {WIRE_DISARM, 0},
    {WIRE_FIRE, sizeof(wire_fire_t)},
    {WIRE_DARK, 0},
    {WIRE_PREPARE, sizeof(wire_prepare_t)},
    {WIRE_BEGIN, sizeof(wire_begin_t)},
};

static uint8_t extreme(void) {
    static const uint8_t COMMON[] = {0, 0, 1, 255};
    uint32_t choice = below(5);
    return choice < 4 ? COMMON[choice] : (uint8_t)dice();
}

/* A message of any kind, or any bytes; zeros are common, because zeros are what COBS is about. */
static uint8_t draw_payload(uint8_t *payload) {
    uint32_t kind = below(sizeof MESSAGES / sizeof MESSAGES[0]);
    payload[0] = MESSAGES[kind].number;
    uint8_t size = (uint8_t)(1 + MESSAGES[kind].fields);
    if (below(10) == 0) {
        size = (uint8_t)(1 + below(FRAMING_MAX_PAYLOAD));
    }
    uint32_t plain = below(2);
    for (uint8_t at = 1; at < size; at++) {
        payload[at] = plain ? (uint8_t)dice() : extreme();
    }
    return size;
}

static uint32_t hash_of(const uint8_t *bytes, size_t size) { /* FNV-1a: the judge must not lean on the check */
    uint32_t hash = 2166136261UL;
    for (size_t at = 0; at < size; at++) {
        hash = (hash ^ bytes[at]) * 16777619UL;
    }
    return hash ^ hash >> 15;
}

static void remember(uint16_t index) {
    uint32_t slot = hash_of(pool[index].bytes, pool[index].size - 1U) % SLOTS;
    while (slots[slot] != 0) {
        slot = (slot + 1) % SLOTS;
    }
    slots[slot] = (uint16_t)(index + 1);
}

/* The frame that these bytes are, without their closing zero; NULL: none that was sent. */
static const frame_t *sent(const uint8_t *bytes, size_t size) {
    if (size >= FRAMING_MAX_FRAME) {
        return NULL;
    }
    for (uint32_t slot = hash_of(bytes, size) % SLOTS; slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        const frame_t *frame = &pool[slots[slot] - 1];
        if (frame->size == size + 1 && memcmp(frame->bytes, bytes, size) == 0) {
            return frame;
        }
    }
    return NULL;
}

/* Sound COBS around a payload whose check is another's. No check is wrong by a few bits: a flip would mend some. */
static void draw_false(frame_t *frame, const frame_t *good) {
    uint8_t checked[FRAMING_MAX_PAYLOAD + 4];
    uint8_t length = good->length;
    memcpy(checked, good->payload, length);
    checked[below(length)] ^= (uint8_t)(1 + below(255));
    uint32_t check = below(2) ? framing_crc32(good->payload, length) : framing_crc32(checked, length) ^ 0xA5A5A5A5UL;
    for (int byte = 0; byte < 4; byte++) {
        checked[length++] = (uint8_t)(check >> 8 * byte);
    }
    frame->size = 0;
    uint8_t code = frame->size++;
    for (uint8_t at = 0; at < length; at++) {
        if (checked[at] == 0) {
            frame->bytes[code] = (uint8_t)(frame->size - code);
            code = frame->size++;
        } else {
            frame->bytes[frame->size++] = checked[at];
        }
    }
    frame->bytes[code] = (uint8_t)(frame->size - code);
    frame->bytes[frame->size++] = 0;
}

static void draw_pool(void) {
    newest ^= 1;
    frame_t *mine = &pool[newest * POOL];
    for (unsigned at = 0; at < POOL; at++) {
        mine[at].length = draw_payload(mine[at].payload);
        mine[at].size = (uint8_t)library_encode(mine[at].payload, mine[at].length, mine[at].bytes);
    }
    memset(slots, 0, sizeof slots);
    for (uint16_t at = 0; at < OLD; at++) {
        if (pool[at].size > 0) {
            remember(at);
        }
    }
    for (unsigned at = 0; at < FALSE_CHECKS; at++) {
        draw_false(&pool[OLD + at], &mine[at]);
    }
}

static size_t draw_line(void) {
    size_t held = 0;
    for (int left = BLOCK_FRAMES; left > 0; left--) {
        uint32_t choice = below(POOL + FALSE_CHECKS);
        const frame_t *frame = choice < POOL ? &pool[newest * POOL + choice] : &pool[OLD + choice - POOL];
        memcpy(&line[held], frame->bytes, frame->size);
        held += frame->size;
    }
    return held;
}

/* What is done to it */

static size_t flip(size_t size) {
    for (uint32_t left = 1 + below((uint32_t)size / 60); left > 0; left--) {
        line[below((uint32_t)size)] ^= (uint8_t)(1U << below(8));
    }
    return size;
}

static size_t burst(size_t size) {
    for (uint32_t left = 1 + below(30); left > 0; left--) {
        size_t at = below((uint32_t)size);
        for (size_t end = at + 1 + below(400); at < end && at < size; at++) {
            line[at] = (uint8_t)dice();
        }
    }
    return size;
}

/* Copies the line in pieces: some are left out, doubled or followed by noise; others come from anywhere. */
static size_t cut_up(size_t size) {
    size_t from = 0, held = 0;
    uint32_t longest = 20 + below(2000);
    while (from < size && held + 2 * (longest + 20) < sizeof other) {
        size_t piece = 1 + below(longest);
        piece = piece < size - from ? piece : size - from;
        uint32_t fate = below(16);
        size_t source = fate == 0 ? below((uint32_t)(size - piece + 1)) : from;
        for (int copies = fate == 1 ? 2 : fate != 2; copies > 0; copies--) {
            memcpy(&other[held], &line[source], piece);
            held += piece;
        }
        from += piece + (fate == 3 ? below(6) : 0);
        for (uint32_t more = fate == 4 ? below(20) : 0; more > 0; more--) {
            other[held++] = below(5) ? (uint8_t)dice() : 0;
        }
    }
    memcpy(line, other, held);
    return held;
}

static size_t noise(size_t size) {
    for (size_t at = 0; at < size; at++) {
        line[at] = (uint8_t)dice();
    }
    return size;
}

static size_t spoil(size_t size) {
    static size_t (*const HARMS[])(size_t) = {flip, burst, cut_up};
    uint32_t fate = below(20);
    if (fate < 2) {
        return fate ? noise(size) : size;
    }
    for (uint32_t left = 1 + below(3); left > 0 && size > 60; left--) {
        size = HARMS[below(3)](size);
    }
    return size;
}

/* What is tried */

typedef struct {
    uint64_t bytes, frames, accepted, forged, messages, lost, damaged, miscounted;
    uint8_t rest[FRAMING_MAX_FRAME + 1]; /* of the unfinished piece; longer is no frame, whatever follows */
    size_t held;
} tally_t;

static uint8_t obey(const uint8_t *payload, uint8_t length) {
    stimulator_interlock(&stimulator, below(64) > 0, now_us);
    stimulator_gate(&stimulator, below(64) > 0, now_us);
    uint8_t is_message = board_obey(&board, payload, length, now_us) || daq_obey(&daq, payload, length) ||
                         stimulator_obey(&stimulator, payload, length, now_us);
    obeyed += is_message;
    daq_advance(&daq, now_us);
    return is_message;
}

/* Whether what came out was sent. */
static uint8_t judge(tally_t *tally, uint8_t length) {
    const frame_t *frame = sent(tally->rest, tally->held);
    uint8_t same = frame && length == frame->length && memcmp(framing_payload(&board.in), frame->payload, length) == 0;
    tally->accepted += length > 0;
    tally->forged += length > 0 && !same;
    tally->lost += frame && !same;
    tally->damaged += !frame && tally->held > 0;
    return same;
}

static void take(tally_t *tally, uint8_t byte) {
    now_us += BYTE_US;
    uint8_t length = framing_take(&board.in, byte);
    if (byte != 0) {
        if (tally->held < sizeof tally->rest) {
            tally->rest[tally->held++] = byte;
        }
        tally->forged += length > 0;
        return;
    }
    uint8_t was_sent = judge(tally, length);
    if (length > 0) {
        uint8_t payload[FRAMING_MAX_PAYLOAD]; /* exactly as long as it says, so that a read beyond it is seen */
        uint8_t *exact = length == FRAMING_MAX_PAYLOAD ? payload : malloc(length);
        memcpy(exact, framing_payload(&board.in), length);
        tally->messages += obey(exact, length) && !was_sent;
        if (exact != payload) {
            free(exact);
        }
    }
    tally->held = 0;
}

static void flood(tally_t *tally, uint64_t bytes) {
    while (tally->bytes < bytes) {
        draw_pool();
        size_t size = spoil(draw_line());
        for (size_t at = 0; at < size; at++) {
            take(tally, line[at]);
        }
        now_us += below(2000000);
        stimulator_advance(&stimulator, now_us);
        tally->bytes += size;
        tally->frames += BLOCK_FRAMES;
    }
    uint64_t told = board.in.damaged + tally->forged; /* a forgery is damage that nobody saw */
    tally->miscounted = tally->damaged > told ? tally->damaged - told : told - tally->damaged;
}

int main(int count, char **words) {
    if (count != 3) {
        fputs("fuzz-flood BYTES SEED\n", stderr);
        return 2;
    }
    tally_t tally = {0};
    state = strtoull(words[2], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
    board_init(&board, BOARD_BOTH, RESET_CAUSE_POWER_ON, 1);
    daq_init(&daq, 1000000);
    stimulator_init(&stimulator, 0, 65, 200);
    flood(&tally, strtoull(words[1], NULL, 10));
    double chance = (double)tally.damaged / 4294967296.0;
    printf("flood: %" PRIu64 " bytes, %" PRIu64 " frames sent, %" PRIu64 " accepted, %" PRIu64 " obeyed, %" PRIu64
           " damaged, %" PRIu64 " forged (%.4f by chance), %" PRIu64 " forged messages, %" PRIu64 " lost, %" PRIu64 " miscounted, %" PRIu64 " bytes answered, %.1f s\n",
           tally.bytes, tally.frames, tally.accepted, obeyed, tally.damaged, tally.forged, chance,
           tally.messages, tally.lost, tally.miscounted, said, (double)clock() / CLOCKS_PER_SEC);
    return tally.messages > 0 || (double)tally.forged > 1 + 4 * chance || tally.lost > 0 || tally.miscounted > 0;
}
