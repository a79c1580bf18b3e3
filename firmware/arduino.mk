# The sketches as the Arduino IDE opens them, in build/arduino/<sketch>/, and compiled against its core as it would.
# There the core's own main and init stand below setup(); the line runs at the rate that avr/serial.h sets.
IDE_C = -std=gnu11 $(SMALL) -fno-fat-lto-objects
IDE_CXX = -std=gnu++11 -fno-exceptions -fno-threadsafe-statics -fpermissive $(SMALL)
IDE_DEFINES = -DARDUINO=10819 -DARDUINO_ARCH_AVR -DDECIMAL_DIG=__DECIMAL_DIG__
core_sources = $(wildcard $(ARDUINO)/cores/arduino/*.c $(ARDUINO)/cores/arduino/*.cpp $(ARDUINO)/cores/arduino/*.S)

# The Arduino core of one board: $(1).
define core_rules
$(BUILD)/arduino/core-$(1)/%.c.o: $(ARDUINO)/cores/arduino/%.c
	@mkdir -p $$(@D)
	$(CC) $(call CHIP,$(1)) $(IDE_DEFINES) $($(1)_core) $(IDE_C) -w -c -o $$@ $$<
$(BUILD)/arduino/core-$(1)/%.cpp.o: $(ARDUINO)/cores/arduino/%.cpp
	@mkdir -p $$(@D)
	$(CXX) $(call CHIP,$(1)) $(IDE_DEFINES) $($(1)_core) $(IDE_CXX) -w -c -o $$@ $$<
$(BUILD)/arduino/core-$(1)/%.S.o: $(ARDUINO)/cores/arduino/%.S
	@mkdir -p $$(@D)
	$(CC) $(call CHIP,$(1)) $(IDE_DEFINES) $($(1)_core) -x assembler-with-cpp -c -o $$@ $$<
$(BUILD)/arduino/core-$(1)/core.a: $(patsubst $(ARDUINO)/cores/arduino/%,$(BUILD)/arduino/core-$(1)/%.o,$(core_sources))
	rm -f $$@
	avr-gcc-ar rcs $$@ $$^
endef
$(foreach board,$(BOARDS),$(eval $(call core_rules,$(board))))

# One sketch: $(1). Headers all, sources its own.
define layout_rules
$(BUILD)/arduino/$(1)/$(1).ino: $(1)/$(1).ino $(headers) $(addsuffix .c,$($(1)_parts)) Makefile arduino.mk
	rm -rf $$(@D)
	mkdir -p $$(@D)/src/core $$(@D)/src/avr
	cp core/*.h $(addsuffix .c,$(filter core/%,$($(1)_parts))) $$(@D)/src/core/
	cp avr/*.h $(addsuffix .c,$(filter avr/%,$($(1)_parts))) $$(@D)/src/avr/
	sed 's|#include "\.\./|#include "src/|' $$< > $$@
endef
$(foreach sketch,$(SKETCHES),$(eval $(call layout_rules,$(sketch))))

# $(1) is the board, $(2) the sketch.
define ide_rules
$(BUILD)/arduino/$(1)-$(2).elf: $(BUILD)/arduino/$(2)/$(2).ino $(BUILD)/arduino/core-$(1)/core.a
	rm -rf $(BUILD)/arduino/objects-$(1)-$(2)
	mkdir -p $(BUILD)/arduino/objects-$(1)-$(2)
	for part in $($(2)_parts); do $(CC) $(call CHIP,$(1)) $(IDE_DEFINES) $($(1)_core) $(IDE_C) $(WARNINGS) -c \
		-o $(BUILD)/arduino/objects-$(1)-$(2)/$$$$(basename $$$$part).o $(BUILD)/arduino/$(2)/src/$$$$part.c || exit 1; done
	$(CXX) $(call CHIP,$(1)) $(IDE_DEFINES) $($(1)_core) $(IDE_CXX) $(WARNINGS) -include Arduino.h -x c++ -c \
		-o $(BUILD)/arduino/objects-$(1)-$(2)/sketch.o $$<
	$(CC) $(call CHIP,$(1)) -Os $(WHOLE) -fuse-linker-plugin -Wl,--gc-sections -o $$@ \
		$(BUILD)/arduino/objects-$(1)-$(2)/*.o $(BUILD)/arduino/core-$(1)/core.a -lm
arduino: $(BUILD)/arduino/$(1)-$(2).hex
endef
$(foreach board,$(BOARDS),$(foreach sketch,$(SKETCHES),$(eval $(call ide_rules,$(board),$(sketch)))))
