# A thin front for Meson: everything that is built, tested or installed is described in the meson.build files.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
# Options for `holdfast serve` or bench/run, as in: make run ARGS="--workers 2 --echo"; make bench ARGS=--quick
ARGS ?=

SHELL = /bin/bash
.SHELLFLAGS = -eo pipefail -c

# Prints nothing where all goes well: what ninja and Meson do by the way is of no interest.
NINJA = ninja -C $(BUILD) --quiet
QUIET = >$(BUILD)/make.log 2>&1 || { cat $(BUILD)/make.log; exit 1; }

.PHONY: all deps run test bench site install deb format clean help

all: $(BUILD)/build.ninja
	@tools/deps.sh --check build
	@$(NINJA) holdfast $(QUIET)

# Without the tests, so that only what building needs has to be there; `make test` adds them. Meson looks after later
# changes of its own files.
$(BUILD)/build.ninja:
	@tools/deps.sh --check build
	@mkdir -p $(BUILD)
	@meson setup --prefix=$(PREFIX) --libdir=lib -Dtests=false $(BUILD) $(QUIET)

deps:
	@tools/deps.sh build test

run:
	@tools/deps.sh build
	@$(MAKE) --no-print-directory all
	@exec $(BUILD)/holdfast serve $(ARGS)

test: deps
	@tools/run-tests

# A peer that cannot be installed is left out, and told.
bench:
	@tools/deps.sh build bench || tools/deps.sh build
	@$(MAKE) --no-print-directory all
	@$(NINJA) bench/raw_loop $(QUIET)
	@HOLDFAST=$(abspath $(BUILD))/holdfast bench/run $(ARGS)

site:
	@tools/deps.sh docs
	@mkdir -p $(BUILD)
	@mkdocs build --site-dir $(abspath $(BUILD))/site $(QUIET)
	@echo '$(BUILD)/site/index.html'

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX) --libdir=lib
	@$(NINJA) $(QUIET)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet

# Debian packages, to build-deb/: see packaging/deb/build.
deb:
	@tools/deps.sh build package
	@packaging/deb/build

format:
	@find src include tests bench examples -name '*.[ch]' -print0 2>/dev/null | xargs -0r clang-format -i

clean:
	@rm -rf build build-asan build-clang build-deb

help:
	@echo 'make           build/holdfast, optimised'
	@echo 'make deps      install the missing Debian packages (root or sudo)'
	@echo 'make run       all of the above, then serve in the foreground; options: make run ARGS="--demo --workers 2"'
	@echo 'make test      every test, in a normal and in a sanitizer build'
	@echo 'make bench     Holdfast beside its peers, an hour or more; ARGS=--quick: 15 minutes; writes docs/performance.md'
	@echo 'make site      the documentation as pages, in build/site'
	@echo 'make install   to PREFIX (/usr/local), under DESTDIR'
	@echo 'make deb       Debian packages of the server and the library, to build-deb/'
	@echo 'make format    clang-format on all C files'
	@echo 'make clean     remove what was built'
