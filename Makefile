# SPDX-License-Identifier: MIT OR Apache-2.0
# A thin front: Meson builds, tools/ does the rest. `make help` lists the words.
BUILD ?= build
PREFIX ?= /usr/local
SUITES ?=
FUZZ_SECONDS ?= 60
TARGETS ?=
export FUZZ_SECONDS

.PHONY: all deps test check format fuzz bench demo demo-single kernel vpn cross install clean help

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/deps.sh build
	@tools/guest-jansson.sh >/dev/null
	meson setup $(BUILD) --prefix $(PREFIX) --pkg-config-path "$$(tools/libslirp.sh)"

deps:
	@tools/deps.sh build test

test: deps
	@tools/run-tests.py $(SUITES)

check: deps
	@tools/run-tests.py check

format: deps
	@tools/format.sh

fuzz: deps
	@tools/fuzz.sh $(TARGETS)

bench:
	@tools/deps.sh build bench
	@tests/bench/run

demo:
	@tools/demo.sh

demo-single: all
	@tools/demo-single.sh

# The default guest kernel; `make install` takes it along.
kernel: all
	@$(BUILD)/cli/microvm-build kernel --output $(BUILD)/kernel

# The VPN gateway, once, in some minutes, with that kernel; `make install` takes it along.
vpn: kernel
	@tools/openvpn.sh >/dev/null
	@tools/busybox.sh >/dev/null
	@tools/wg.sh >/dev/null || echo "the VPN gateway is made without wg: it will take no WireGuard profiles" >&2
	@meson setup --reconfigure $(BUILD) >/dev/null && ninja -C $(BUILD)
	@rm -rf $(BUILD)/guest/vpn-gateway
	@$(BUILD)/cli/microvm-build --template velocitty-vpn --bundle --output $(BUILD)/guest/vpn-gateway

cross:
	@tools/cross.sh $(TARGETS)

install: all
ifneq ($(origin PREFIX),file)
	meson configure $(BUILD) -Dprefix=$(PREFIX)
endif
	meson install -C $(BUILD)

clean:
	rm -rf build build-*

help:
	@echo "make            configure and build into $(BUILD)/"
	@echo "make test       install what tests need, run every suite; SUITES=\"unit device\" picks"
	@echo "make check      format, layers, banned calls, sizes, public headers"
	@echo "make format     let clang-format 14 rewrite the tree"
	@echo "make fuzz       each fuzz target for FUZZ_SECONDS ($(FUZZ_SECONDS)); TARGETS=\"blk json\" picks"
	@echo "make bench      measure, beside other VMMs where they can be had"
	@echo "make demo       boot Debian's stock kernel and run a command in the guest"
	@echo "make demo-single  a guest that is a kernel and one static program, and nothing else"
	@echo "make kernel     build the default guest kernel, once, in some minutes"
	@echo "make vpn        build the VPN gateway that 'microvm vpn up' starts, once, in some minutes"
	@echo "make cross      compile for the systems of cross/, run unit tests in emulators"
	@echo "make install    install under PREFIX ($(PREFIX)); DESTDIR is obeyed"
	@echo "make clean      remove every build directory"
