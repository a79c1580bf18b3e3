/* The far end of latency.py: both boards, a bare echo and other programs to compare with, and the one clock for all.
 *
 *     echo RATE_MHZ CHUNK_MS PROGRAM_CHUNK_MS WARM_MS PEERS PLAN
 *
 * It opens three pseudo-terminals and one for each peer. It prints one line: the names of the DAQ's, the stimulator's
 * and each peer's, then the number of the process that echoes. It answers the handshake. Then come the chunks of the
 * plan, a letter each:
 *
 *     p        readings to the program
 *     e        as many frames of the same length to a child process that does nothing but read and write
 *     a        the same, with board and child kept on two different cores, where the system lets us: left alone they
 *              settle on one core that never sleeps, which no real board and no other program does
 *     1 2 ...  to a peer: frames of the same length, of which one every 10 ms is bright and is to be answered
 *
 * Program and peers are never pinned. Each write is stamped just before, each answer just after it was read. The first
 * 100 ms of a chunk are not measured, for none of them: no real board falls silent for a second every second. At the
 * end of its standard input it prints one line a sample, "KIND MICROSECONDS AT_NS", and counts as "# NAME VALUE".
 *
 * A heartbeat is due at the first reading 10 ms or more after the last one's. It is timed from that reading, even if
 * it comes late and names a later one, and every one that fell out meanwhile is timed too: a program that sleeps must
 * not look quick for having answered once when it woke. This is no model of a board: it limits nothing.
 *
 * A peer's frame needs no decoding: wire_reading_t as it is packed, little endian, and zeros up to the length of a
 * reading's frame; no COBS, no check. Its answer is the low byte of the bright reading's number. When it has started
 * it writes its process group as digits and a newline; the group is stopped whenever it is not its turn, so that one
 * that never sleeps takes no time from the others.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define RING 65536u /* readings remembered: more than a minute at 1 kHz */
#define HEARTBEAT_US 10000u
#define TRAIN_NS 1000000u /* the protocol's trains last 1 ms */
#define READY_WITHIN_MS 60000u
#define SETTLE_MS 100u
#define LAST_ANSWERS_MS 500u /* how long a peer is waited for at the end of its chunk */
#define MAX_FRAME 80
#define NONE UINT32_MAX
#define MOST_PEERS 8
#define PENDING 4096u /* bright readings of one chunk that a peer may owe */

enum { DAQ, STIMULATOR, BARE, FIRST_PEER };

typedef struct {
    int fd;
    size_t size;
    uint8_t held[MAX_FRAME];
} port_t;

typedef struct {
    char kind;
    double us;
    uint64_t at_ns;
} sample_t;

typedef struct {
    uint64_t stamp_ns; /* 0: not measured */
    uint8_t tag;
} pending_t;

typedef struct {
    pid_t group;
    uint32_t sent, asked, missed, unexpected;
} peer_t;

static port_t ports[FIRST_PEER + MOST_PEERS];
static int port_count, peer_count;
static peer_t peers[MOST_PEERS];
static pending_t pending[PENDING];
static uint32_t pending_from, pending_to;
static uint64_t origin_ns, stamps[RING], echo_stamps[RING];
static uint32_t ticks_of[RING];
static sample_t *samples;
static size_t sample_count, sample_space;
static uint32_t rate_mhz, sent, measured, last_heartbeat = NONE, event = NONE, events, missed, unexpected;
static uint64_t echoed_bytes, echo_sent, fired_due_ns;
static size_t frame_size = sizeof(wire_reading_t) + 7; /* number, CRC-32, COBS code, zero */
static uint32_t running_train, running_ticks;
static int streaming, armed, over, measuring, turn = -1;
static pid_t child;
static char echo_kind;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t ticks_at(uint64_t ns) { return (uint32_t)((ns - origin_ns) / 1000u); }

static void die(const char *what) {
    fprintf(stderr, "echo: %s\n", what);
    exit(1);
}

static uint64_t stamp_ns(void) { return measuring ? now_ns() : 0; }

static void keep(char kind, uint64_t from_ns, uint64_t to_ns) {
    if (!from_ns) return;
    if (sample_count == sample_space) {
        sample_space = sample_space ? 2 * sample_space : 65536;
        samples = realloc(samples, sample_space * sizeof *samples);
        if (!samples) die("out of memory");
    }
    samples[sample_count++] = (sample_t){kind, (double)(to_ns - from_ns) / 1000.0, to_ns};
}

/* Frames: COBS(payload + CRC-32), then zero. */

static uint32_t crc32_of(const uint8_t *data, size_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xEDB88320u & -(crc & 1u));
    }
    return ~crc;
}

static size_t frame_of(uint8_t number, const void *body, size_t size, uint8_t *frame) {
    uint8_t payload[MAX_FRAME];
    payload[0] = number;
    memcpy(payload + 1, body, size);
    uint32_t crc = crc32_of(payload, ++size);
    for (int i = 0; i < 4; i++) payload[size++] = (uint8_t)(crc >> (8 * i));
    size_t code = 0, at = 1;
    for (size_t i = 0; i < size; i++) {
        if (payload[i]) {
            frame[at++] = payload[i];
            continue;
        }
        frame[code] = (uint8_t)(at - code);
        code = at++;
    }
    frame[code] = (uint8_t)(at - code);
    frame[at++] = 0;
    return at;
}

static size_t payload_of(const uint8_t *frame, size_t size, uint8_t *payload) {
    size_t at = 0, out = 0;
    while (at < size) {
        size_t end = at + frame[at];
        if (end > size) return 0;
        for (at++; at < end; at++) payload[out++] = frame[at];
        if (at < size) payload[out++] = 0;
    }
    if (out < 5) return 0;
    uint32_t crc = crc32_of(payload, out - 4);
    for (int i = 0; i < 4; i++)
        if (payload[out - 4 + (size_t)i] != (uint8_t)(crc >> (8 * i))) return 0;
    return out - 4;
}

static void write_all(int fd, const uint8_t *data, size_t size) {
    while (size > 0) {
        ssize_t took = write(fd, data, size);
        if (took < 0 && errno == EINTR) continue;
        if (took < 0) die("a port could not be written to");
        data += took;
        size -= (size_t)took;
    }
}

static void say(int which, uint8_t number, const void *body, size_t size) {
    uint8_t frame[MAX_FRAME];
    write_all(ports[which].fd, frame, frame_of(number, body, size, frame));
}

/* What the host says, and what a board would answer. */

static void say_status(uint8_t state, uint8_t reason) {
    wire_status_t status = {state, reason, ticks_at(now_ns())};
    say(STIMULATOR, WIRE_STATUS, &status, sizeof status);
}

static void say_statistics(int which) {
    wire_statistics_t statistics = {0, 0, 0};
    say(which, WIRE_STATISTICS, &statistics, sizeof statistics);
}

static void say_identity(int which) {
    wire_identity_t identity = {which == DAQ ? BOARD_DAQ : BOARD_STIMULATOR, 1, WIRE_HASH, 1, RESET_CAUSE_POWER_ON};
    say(which, WIRE_IDENTITY, &identity, sizeof identity);
}

static void say_end(void) {
    wire_stream_end_t end = {sent, 0};
    say(DAQ, WIRE_STREAM_END, &end, sizeof end);
}

static uint32_t due_after(uint32_t seq) {
    uint32_t due = seq + 1;
    while (due < sent && ticks_of[due % RING] - ticks_of[seq % RING] < HEARTBEAT_US) due++;
    return due;
}

static void on_heartbeat(const uint8_t *body, uint64_t at_ns) {
    wire_heartbeat_t beat;
    memcpy(&beat, body, sizeof beat);
    uint32_t due = last_heartbeat == NONE ? beat.seq : due_after(last_heartbeat);
    for (; due <= beat.seq; due = due_after(due))
        keep('h', stamps[due % RING], at_ns);
    last_heartbeat = beat.seq;
}

static void on_begin(const uint8_t *body, uint64_t at_ns) {
    wire_begin_t asked;
    memcpy(&asked, body, sizeof asked);
    if (event == NONE)
        unexpected++;
    else
        keep('f', stamps[event % RING], at_ns);
    event = NONE;
    wire_started_t started = {asked.train, ticks_at(at_ns)};
    say(STIMULATOR, WIRE_STARTED, &started, sizeof started);
    running_train = asked.train;
    running_ticks = started.on_ticks;
    fired_due_ns = at_ns + TRAIN_NS;
}

static void end_train(void) {
    wire_fired_t fired = {running_train, running_ticks, running_ticks + TRAIN_NS / 1000u, 1, TRAIN_NS / 1000u, 0};
    say(STIMULATOR, WIRE_FIRED, &fired, sizeof fired);
    fired_due_ns = 0;
}

static void on_stream_start(void) {
    wire_stream_settings_t settings = {rate_mhz, 10000, 0};
    say(DAQ, WIRE_STREAM_SETTINGS, &settings, sizeof settings);
    streaming = 1;
}

static void on_clock_query(int which, const uint8_t *body, uint64_t at_ns) {
    wire_clock_reply_t reply = {0, ticks_at(at_ns)};
    memcpy(&reply.query, body, sizeof reply.query);
    say(which, WIRE_CLOCK_REPLY, &reply, sizeof reply);
}

static void on_message(int which, const uint8_t *payload, size_t size, uint64_t at_ns) {
    const uint8_t *body = payload + 1;
    wire_limits_set_t set;
    wire_prepared_t prepared;
    switch (payload[0]) {
    case WIRE_HEARTBEAT: on_heartbeat(body, at_ns); break;
    case WIRE_BEGIN: on_begin(body, at_ns); break;
    case WIRE_CLOCK_QUERY: on_clock_query(which, body, at_ns); break;
    case WIRE_IDENTIFY: say_identity(which); break;
    case WIRE_STATISTICS_QUERY: say_statistics(which); break;
    case WIRE_STREAM_START: on_stream_start(); break;
    case WIRE_STREAM_STOP: say_end(); break;
    case WIRE_LIMITS:
        set.crc = crc32_of(payload, size);
        say(STIMULATOR, WIRE_LIMITS_SET, &set, sizeof set);
        break;
    case WIRE_PREPARE:
        prepared.crc = crc32_of(payload, size);
        say(STIMULATOR, WIRE_PREPARED, &prepared, sizeof prepared);
        break;
    case WIRE_ARM:
        armed = 1;
        say_status(STATE_ARMED, REASON_NONE);
        break;
    case WIRE_DARK:
    case WIRE_DISARM: say_status(STATE_DISARMED, REASON_HOST_DARK); break;
    default: break;
    }
}

static void hear(int which, const uint8_t *data, size_t size, uint64_t at_ns) {
    port_t *port = &ports[which];
    uint8_t payload[MAX_FRAME];
    for (size_t i = 0; i < size; i++) {
        if (data[i]) {
            if (port->size == MAX_FRAME) die("a frame is too long");
            port->held[port->size++] = data[i];
            continue;
        }
        size_t length = payload_of(port->held, port->size, payload);
        if (length) on_message(which, payload, length, at_ns);
        port->size = 0;
    }
}

static void hear_echo(size_t size, uint64_t at_ns) {
    uint64_t before = echoed_bytes / frame_size;
    echoed_bytes += size;
    for (uint64_t i = before; i < echoed_bytes / frame_size; i++) keep(echo_kind, echo_stamps[i % RING], at_ns);
}

/* A peer's answers. Each names the reading that it is for; those before it that nobody answered are lost. */

static void hear_answer(peer_t *peer, int nth, uint8_t tag, uint64_t at_ns) {
    uint32_t i = pending_from;
    while (i != pending_to && pending[i % PENDING].tag != tag) i++;
    if (i == pending_to) {
        peer->unexpected++;
        return;
    }
    for (; pending_from != i; pending_from++) peer->missed += pending[pending_from % PENDING].stamp_ns != 0;
    keep((char)('1' + nth), pending[i % PENDING].stamp_ns, at_ns);
    pending_from = i + 1;
}

static void hear_group(port_t *port, peer_t *peer, uint8_t byte) {
    if (byte != '\n') {
        if (port->size < MAX_FRAME - 1) port->held[port->size++] = byte;
        return;
    }
    port->held[port->size] = 0;
    port->size = 0;
    long group = strtol((const char *)port->held, NULL, 10);
    if (group <= 1) die("a peer did not say its process group");
    peer->group = (pid_t)group;
    if (kill(-peer->group, SIGSTOP)) die("a peer could not be stopped");
}

static void hear_peer(int nth, const uint8_t *data, size_t size, uint64_t at_ns) {
    for (size_t i = 0; i < size; i++) {
        if (!peers[nth].group)
            hear_group(&ports[FIRST_PEER + nth], &peers[nth], data[i]);
        else if (turn == nth)
            hear_answer(&peers[nth], nth, data[i], at_ns);
        else
            peers[nth].unexpected++;
    }
}

static void hear_port(int which) {
    uint8_t data[4096];
    ssize_t size = read(ports[which].fd, data, sizeof data);
    uint64_t at_ns = now_ns();
    if (size <= 0) die("a port is gone");
    if (which == BARE)
        hear_echo((size_t)size, at_ns);
    else if (which >= FIRST_PEER)
        hear_peer(which - FIRST_PEER, data, (size_t)size, at_ns);
    else
        hear(which, data, (size_t)size, at_ns);
}

/* Wait for bytes until this time. */
static void listen_until(uint64_t until_ns) {
    while (!over) {
        uint64_t at_ns = now_ns();
        if (fired_due_ns && at_ns >= fired_due_ns) end_train();
        if (at_ns >= until_ns) return;
        uint64_t wake_ns = fired_due_ns && fired_due_ns < until_ns ? fired_due_ns : until_ns;
        uint64_t left_ns = wake_ns - at_ns;
        struct timespec left = {(time_t)(left_ns / 1000000000u), (long)(left_ns % 1000000000u)};
        fd_set ready;
        FD_ZERO(&ready);
        FD_SET(STDIN_FILENO, &ready);
        int most = 0;
        for (int i = 0; i < port_count; i++) {
            FD_SET(ports[i].fd, &ready);
            if (ports[i].fd > most) most = ports[i].fd;
        }
        if (pselect(most + 1, &ready, NULL, NULL, &left, NULL) <= 0) continue;
        for (int i = port_count - 1; i >= 0; i--)
            if (FD_ISSET(ports[i].fd, &ready)) hear_port(i);
        char ignored[64];
        if (FD_ISSET(STDIN_FILENO, &ready) && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) over = 1;
    }
}

/* Readings and the frames that are only echoed. */

static double noise(void) { /* sum of four uniforms: nearly Gaussian, SD 1 */
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)random() / 2147483648.0 - 0.5;
    return sum * 1.7320508;
}

static wire_reading_t reading_at(uint64_t due_ns, int eventful) {
    wire_reading_t reading = {.seq = sent, .ticks = ticks_at(due_ns)};
    reading.signal_lit = (int32_t)(100000 * (1 + 0.005 * noise() + (eventful ? 0.2 : 0)));
    reading.control_lit = (int32_t)(80000 * (1 + 0.005 * noise()));
    return reading;
}

static void send_reading(uint64_t due_ns, int eventful) {
    uint8_t frame[MAX_FRAME];
    wire_reading_t reading = reading_at(due_ns, eventful);
    size_t size = frame_of(WIRE_READING, &reading, sizeof reading, frame);
    if (eventful) {
        missed += event != NONE;
        events++;
        event = sent;
    }
    ticks_of[sent % RING] = reading.ticks;
    measured += (uint32_t)measuring;
    stamps[sent++ % RING] = stamp_ns();
    write_all(ports[DAQ].fd, frame, size);
}

static void send_echo(uint64_t due_ns) {
    uint8_t frame[MAX_FRAME];
    wire_reading_t reading = reading_at(due_ns, 0);
    size_t size = frame_of(WIRE_READING, &reading, sizeof reading, frame);
    if (size != frame_size) die("a reading has another length than expected");
    echo_stamps[echo_sent++ % RING] = stamp_ns();
    write_all(ports[BARE].fd, frame, size);
}

/* As many of these bytes as the line takes; how many. */
static size_t offer(int fd, const uint8_t *data, size_t size) {
    ssize_t took = write(fd, data, size);
    if (took < 0 && errno != EAGAIN && errno != EINTR) die("a peer is gone");
    return took < 0 ? 0 : (size_t)took;
}

/* A frame that finds the line full is lost: the peer does not read, and the others must not wait for it. One that was
 * begun is completed first, for a peer cannot find the beginning of a frame again. */
static void write_to_peer(int nth, const uint8_t *frame) {
    port_t *port = &ports[FIRST_PEER + nth];
    size_t took = offer(port->fd, port->held, port->size);
    port->size -= took;
    memmove(port->held, port->held + took, port->size);
    if (port->size) return;
    took = offer(port->fd, frame, frame_size);
    if (took == 0) return;
    port->size = frame_size - took;
    memcpy(port->held, frame + took, port->size);
}

static void send_peer(int nth, uint64_t due_ns, int bright) {
    uint8_t frame[MAX_FRAME] = {0};
    peer_t *peer = &peers[nth];
    wire_reading_t reading = reading_at(due_ns, bright);
    reading.seq = peer->sent++;
    memcpy(frame, &reading, sizeof reading);
    if (bright) {
        if (pending_to - pending_from == PENDING) die("a chunk is too long for a peer that does not answer");
        pending[pending_to++ % PENDING] = (pending_t){stamp_ns(), (uint8_t)reading.seq};
        peer->asked += (uint32_t)measuring;
    }
    write_to_peer(nth, frame);
}

static uint32_t readings_in(uint64_t ms) { return (uint32_t)(ms * rate_mhz / 1000000u); }

/* Two trains a chunk, or one in a short chunk: the limits allow sixty a minute. */
static int is_eventful(uint32_t i, uint32_t readings) {
    if (readings < readings_in(1000)) return i == readings / 2;
    return i == readings / 4 || i == 3 * readings / 4;
}

static void program_chunk(uint32_t readings, int measured_one) {
    uint64_t period_ns = 1000000000000u / rate_mhz, due_ns = now_ns();
    for (uint32_t i = 0; i < readings && !over; i++) {
        measuring = measured_one && i >= readings_in(SETTLE_MS);
        listen_until(due_ns += period_ns);
        send_reading(due_ns, measured_one && is_eventful(i, readings));
    }
    measuring = 0;
    listen_until(due_ns + period_ns);
}

static void echo_chunk(uint32_t frames, char kind) {
    echo_kind = kind;
    uint64_t period_ns = 1000000000000u / rate_mhz, due_ns = now_ns();
    for (uint32_t i = 0; i < frames && !over; i++) {
        measuring = i >= readings_in(SETTLE_MS);
        listen_until(due_ns += period_ns);
        send_echo(due_ns);
    }
    measuring = 0;
    listen_until(due_ns + period_ns);
}

static void peer_frames(int nth, uint32_t frames) {
    uint64_t period_ns = 1000000000000u / rate_mhz, due_ns = now_ns(), bright_ns = 0;
    for (uint32_t i = 0; i < frames && !over; i++) {
        measuring = i >= readings_in(SETTLE_MS);
        listen_until(due_ns += period_ns);
        int bright = due_ns - bright_ns >= HEARTBEAT_US * 1000u;
        if (bright) bright_ns = due_ns;
        send_peer(nth, due_ns, bright);
    }
    measuring = 0;
    listen_until(due_ns + period_ns);
}

static void peer_chunk(int nth, uint32_t frames) {
    peer_t *peer = &peers[nth];
    if (kill(-peer->group, SIGCONT)) die("a peer died");
    turn = nth;
    peer_frames(nth, frames);
    uint64_t patience_ns = now_ns() + (uint64_t)LAST_ANSWERS_MS * 1000000u;
    while (pending_from != pending_to && !over && now_ns() < patience_ns) listen_until(now_ns() + 1000000u);
    for (; pending_from != pending_to; pending_from++)
        peer->missed += pending[pending_from % PENDING].stamp_ns != 0;
    turn = -1;
    if (kill(-peer->group, SIGSTOP)) die("a peer died");
}

/* Where the two ends of the echo run. */

#ifdef __linux__
static cpu_set_t allowed;

static void pin(pid_t process, int nth) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && nth-- == 0) CPU_SET(cpu, &one);
    if (sched_setaffinity(process, sizeof one, &one)) die("a process could not be kept on one core");
}

static int can_pin(void) { return !sched_getaffinity(0, sizeof allowed, &allowed) && CPU_COUNT(&allowed) > 1; }

static void echo_apart(uint32_t frames) {
    pin(0, 0);
    pin(child, 1);
    echo_chunk(frames, 'a');
    if (sched_setaffinity(0, sizeof allowed, &allowed) || sched_setaffinity(child, sizeof allowed, &allowed))
        die("a process could not be let go");
}
#else
static int can_pin(void) { return 0; }
static void echo_apart(uint32_t frames) { echo_chunk(frames, 'a'); }
#endif

/* Setting up. */

static int open_master(void) {
    int fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (fd < 0 || grantpt(fd) || unlockpt(fd)) die("this system gives no pseudo-terminal");
    return fd;
}

static int open_slave(int master) { /* kept open, so that the master never sees a hang-up */
    int fd = open(ptsname(master), O_RDWR | O_NOCTTY);
    struct termios settings;
    if (fd < 0 || tcgetattr(fd, &settings)) die("a pseudo-terminal could not be opened");
    cfmakeraw(&settings);
    if (tcsetattr(fd, TCSANOW, &settings)) die("a pseudo-terminal could not be set to raw");
    return fd;
}

/* However this ends: a peer that is stopped would stay for ever. */
static void end_peers(void) {
    for (int i = 0; i < peer_count; i++)
        if (peers[i].group) kill(-peers[i].group, SIGKILL);
}

static void open_peers(int count) {
    peer_count = count;
    port_count = FIRST_PEER + count;
    for (int i = FIRST_PEER; i < port_count; i++) {
        ports[i].fd = open_master();
        open_slave(ports[i].fd);
        if (fcntl(ports[i].fd, F_SETFL, O_NONBLOCK)) die("no line for a peer");
    }
}

static void bare_echo(int fd) {
    uint8_t data[4096];
    ssize_t size;
    while ((size = read(fd, data, sizeof data)) > 0) write_all(fd, data, (size_t)size);
    _exit(0);
}

static void open_ports(int peers_wanted) {
    for (int i = 0; i < FIRST_PEER; i++) ports[i].fd = open_master();
    int echo_end = open_slave(ports[BARE].fd);
    open_slave(ports[DAQ].fd);
    open_slave(ports[STIMULATOR].fd);
    open_peers(peers_wanted);
    child = fork();
    if (child < 0) die("no child process for the echo");
    if (child == 0) {
        for (int i = 0; i < port_count; i++) close(ports[i].fd);
        bare_echo(echo_end);
    }
    close(echo_end);
    for (int i = 0; i < port_count; i++)
        if (i != BARE) printf("%s ", ptsname(ports[i].fd));
    printf("%ld\n", (long)child);
    fflush(stdout);
}

static int all_ready(void) {
    int ready = armed;
    for (int i = 0; i < peer_count; i++) ready = ready && peers[i].group;
    return ready;
}

static void one_chunk(char letter, uint32_t chunk, uint32_t program) {
    if (letter == 'p')
        program_chunk(program, 1);
    else if (letter == 'a' && can_pin())
        echo_apart(chunk);
    else if (letter == 'e' || letter == 'a')
        echo_chunk(chunk, 'e');
    else if (letter >= '1' && letter < '1' + peer_count)
        peer_chunk(letter - '1', chunk);
    else
        die("the plan has a letter that is none");
}

static void run(const char *plan, uint32_t chunk, uint32_t program, uint32_t warm) {
    while (!streaming && !over) listen_until(now_ns() + 10000000u);
    program_chunk(warm, 0);
    uint64_t patience_ns = now_ns() + (uint64_t)READY_WITHIN_MS * 1000000u;
    while (!all_ready() && !over && now_ns() < patience_ns) program_chunk(rate_mhz / 10000u + 1, 0);
    if (!armed) die("the program did not arm");
    if (!all_ready()) die("a peer did not start");
    program_chunk(rate_mhz / 2000u, 0);
    printf("# begun 1\n");
    fflush(stdout);
    for (; *plan && !over; plan++) one_chunk(*plan, chunk, program);
    missed += event != NONE;
    say_end();
    while (!over) listen_until(now_ns() + 100000000u);
}

static void print_all(void) {
    for (size_t i = 0; i < sample_count; i++)
        printf("%c %.1f %llu\n", samples[i].kind, samples[i].us, (unsigned long long)samples[i].at_ns);
    printf("# readings %u\n# events %u\n# missed %u\n# unexpected %u\n", measured, events, missed, unexpected);
    printf("# echo_frames %llu\n", (unsigned long long)echo_sent);
    for (int i = 0; i < peer_count; i++) {
        printf("# asked_%d %u\n# missed_%d %u\n", i + 1, peers[i].asked, i + 1, peers[i].missed);
        printf("# unexpected_%d %u\n", i + 1, peers[i].unexpected);
    }
}

int main(int argc, char **argv) {
    if (argc != 7) die("usage: echo RATE_MHZ CHUNK_MS PROGRAM_CHUNK_MS WARM_MS PEERS PLAN");
    rate_mhz = (uint32_t)strtoul(argv[1], NULL, 10);
    uint32_t chunk = readings_in(strtoul(argv[2], NULL, 10)), program = readings_in(strtoul(argv[3], NULL, 10));
    uint32_t warm = readings_in(strtoul(argv[4], NULL, 10));
    int peers_wanted = atoi(argv[5]);
    if (peers_wanted < 0 || peers_wanted > MOST_PEERS) die("too many peers");
    srandom(1);
    signal(SIGPIPE, SIG_IGN); /* whoever asked may be gone before it is told */
    atexit(end_peers);
    origin_ns = now_ns();
    open_ports(peers_wanted);
    run(argv[6], chunk, program, warm);
    print_all();
    return 0;
}
