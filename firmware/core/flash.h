/* Constant tables: in flash on AVR, whose RAM they would fill; ordinary constants elsewhere. */
#ifndef CLOSEDLOOP_FLASH_H
#define CLOSEDLOOP_FLASH_H
#include <stdint.h>

#ifdef __AVR__
#include <avr/pgmspace.h>
#define FLASH_TABLE const PROGMEM
#define FLASH_U32(address) pgm_read_dword(address)
#else
#define FLASH_TABLE const
#define FLASH_U32(address) (*(address))
#endif

#endif
