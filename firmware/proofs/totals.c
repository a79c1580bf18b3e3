/* Where the lemmas about sums are proved; there is no code. */
#include "totals.h"
