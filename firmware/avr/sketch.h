/* The two functions of every sketch, in C, so that a plain build and the Arduino IDE call them alike. */
#ifndef CLOSEDLOOP_SKETCH_H
#define CLOSEDLOOP_SKETCH_H

void setup(void);
void loop(void);

#endif
