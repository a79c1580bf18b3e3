/* The interlock's constants at a size that can be searched to the end. Included before everything else.
 *
 * Lengths are in ticks of 1000 us, so that milliseconds and microseconds scale together. SCALE chooses a set: each has
 * other ratios of bucket, window, lease and pulse, because a bug may hide behind one of them. 1 and 2 take a few seconds.
 */
#ifndef CLOSEDLOOP_SCALED_H
#define CLOSEDLOOP_SCALED_H
#include "../core/wire.h"

#define TICK_US 1000UL

#ifndef SCALE
#define SCALE 1
#endif

#if SCALE == 1
#define ON_TICKS 2
#define OFF_TICKS 1
#define LEASE_TICKS 2
#define SHORT_ON_TICKS 3
#define LONG_ON_TICKS 3
#define MOST_TRAINS 2
#define BUCKET_TICKS 2
#define BUCKETS 3
#define LONG_EVERY 1
#define LONG_BUCKETS 3
#elif SCALE == 2
#define ON_TICKS 2
#define OFF_TICKS 1
#define LEASE_TICKS 2
#define SHORT_ON_TICKS 2
#define LONG_ON_TICKS 3
#define MOST_TRAINS 2
#define BUCKET_TICKS 2
#define BUCKETS 2
#define LONG_EVERY 2
#define LONG_BUCKETS 2
#elif SCALE == 3
#define ON_TICKS 2
#define OFF_TICKS 1
#define LEASE_TICKS 2
#define SHORT_ON_TICKS 3
#define LONG_ON_TICKS 3
#define MOST_TRAINS 2
#define BUCKET_TICKS 1
#define BUCKETS 5
#define LONG_EVERY 2
#define LONG_BUCKETS 3
#elif SCALE == 4
#define ON_TICKS 2
#define OFF_TICKS 1
#define LEASE_TICKS 2
#define SHORT_ON_TICKS 2
#define LONG_ON_TICKS 3
#define MOST_TRAINS 2
#define BUCKET_TICKS 2
#define BUCKETS 3
#define LONG_EVERY 2
#define LONG_BUCKETS 3
#elif SCALE == 5
#define ON_TICKS 3
#define OFF_TICKS 2
#define LEASE_TICKS 2
#define SHORT_ON_TICKS 4
#define LONG_ON_TICKS 5
#define MOST_TRAINS 2
#define BUCKET_TICKS 1
#define BUCKETS 6
#define LONG_EVERY 3
#define LONG_BUCKETS 4
#else
#error "SCALE is 1 to 5"
#endif

#define SHORT_TICKS (BUCKET_TICKS * (BUCKETS - 1)) /* the windows, of which a ring holds one bucket more */
#define LONG_BUCKET_TICKS (BUCKET_TICKS * LONG_EVERY)
#define LONG_TICKS (LONG_BUCKET_TICKS * (LONG_BUCKETS - 1))
#define MOST_LEVEL 2

#undef CEILING_ON_US
#undef CEILING_OFF_US
#undef CEILING_SHORT_WINDOW_MS
#undef CEILING_SHORT_ON_MS
#undef CEILING_LONG_WINDOW_MS
#undef CEILING_LONG_ON_MS
#undef CEILING_TRAINS_PER_MINUTE
#undef CEILING_LEASE_MS
#undef CEILING_LEVEL
#define CEILING_ON_US (ON_TICKS * TICK_US)
#define CEILING_OFF_US (OFF_TICKS * TICK_US)
#define CEILING_SHORT_WINDOW_MS SHORT_TICKS
#define CEILING_SHORT_ON_MS SHORT_ON_TICKS
#define CEILING_LONG_WINDOW_MS LONG_TICKS
#define CEILING_LONG_ON_MS LONG_ON_TICKS
#define CEILING_TRAINS_PER_MINUTE MOST_TRAINS
#define CEILING_LEASE_MS LEASE_TICKS
#define CEILING_LEVEL MOST_LEVEL

#define INTERLOCK_BUCKET_US (BUCKET_TICKS * TICK_US)
#define INTERLOCK_BUCKETS BUCKETS
#define INTERLOCK_LONG_EVERY LONG_EVERY
#define INTERLOCK_LONG_BUCKETS LONG_BUCKETS

#endif
