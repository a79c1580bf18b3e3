/* A sketch without the Arduino core. Under the Arduino IDE its own main takes this file's place. */
#include "sketch.h"

int main(void) {
    setup();
    for (;;) {
        loop();
    }
}
