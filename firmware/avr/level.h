/* How strong the light is, as far as the board can say: PWM (level_pwm.c) or a converter (level_dac.c), chosen by the
 * build. Never what makes darkness: that is the shutter's, whatever stands here. Called from the main loop alone.
 */
#ifndef CLOSEDLOOP_LEVEL_H
#define CLOSEDLOOP_LEVEL_H
#include <stdint.h>

/* Starts at 0. */
void level_init(void);

/* Takes a level of 0 to 65535 (full power) from now on. */
void level_set(uint16_t level);

#endif
