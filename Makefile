# Mooring: build, try, check, install. `make help` lists what can be made.

SHELL = /bin/bash
.SHELLFLAGS = -euo pipefail -c

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
bindir ?= $(PREFIX)/bin
libexecdir ?= $(PREFIX)/libexec
datadir ?= $(PREFIX)/share
docdir ?= $(datadir)/doc/mooring
systemduserunitdir ?= $(PREFIX)/lib/systemd/user
dbusservicesdir ?= $(datadir)/dbus-1/services
sysconfdir ?= /etc
mandir ?= $(datadir)/man
bashcompletiondir ?= $(datadir)/bash-completion/completions
zshcompletiondir ?= $(datadir)/zsh/site-functions
fishcompletiondir ?= $(datadir)/fish/vendor_completions.d

# `yes` installs the drop-in for systemd 253 and later; `auto` looks at this machine.
NOTIFY_RELOAD ?= auto
has_notify_reload = systemctl --version 2>/dev/null | awk 'NR == 1 { new = $$2 >= 253 } END { exit !new }'
# A folder of your own files for the demo; copied, never touched.
DATA ?=

INSTALL = install
INSTALL_DATA = $(INSTALL) -m 0644

export CARGO_TARGET_DIR ?= $(CURDIR)/target

# The binaries with points of death in them, for the demo and the scenarios. One set of features
# everywhere, so that one build serves all.
FAULTS = --features mooringd/faults,mooring-worker/faults
DEBUG = $(CARGO_TARGET_DIR)/debug
RELEASE = $(CARGO_TARGET_DIR)/release
# Where the built programs are that pages and completions are made with, and where those go.
BUILT ?= $(RELEASE)
PAGES ?= $(CARGO_TARGET_DIR)/pages

.PHONY: all help setup build debug demo test check lint verify bench install clean

all: build

help:
	@echo 'make demo [DATA=FOLDER]   the main story, on its own bus and folders; nothing stays behind'
	@echo 'make test                 every test, the demo among them'
	@echo 'make torture [MINUTES=n] [HOURS=n] [SEED=n]   two devices, kills and edits at random, an outside checker'
	@echo 'make filesystems          only: real file systems, a FUSE that fails on command, rot, races (as root)'
	@echo 'make check                format, lints, units, configuration, dependencies'
	@echo 'make fuzz [MINUTES=n]     any bytes for everything that reads what others wrote'
	@echo 'make flood [JOBS=n]       clients that flood, vanish, hoard and never read; prints what it measures'
	@echo 'make bench                measures, side by side with peers'
	@echo 'make growth [FULL=1]      time and memory of 1,000 to 100,000 files (a million), as a table and a picture'
	@echo 'make count                instructions and system calls of each operation, against those kept'
	@echo 'make build                release binaries, manual pages, completions (also: make man)'
	@echo 'make install [PREFIX=/usr] [DESTDIR=DIR]'
	@echo 'make setup                installs what the above need (Debian and its kin)'

setup:
	@tests/setup.sh

# Where the installed daemon looks for its worker, if it is not beside it.
build: export LIBEXECDIR = $(libexecdir)/mooring
build:
	$(CARGO) build --locked --release -p mooringd -p mooring-worker -p mooringctl
	$(CARGO) build --locked --release -p mooringd --example mooringd-man
	$(MAKE) --no-print-directory pages

# Manual pages and completions, from the same source as --help and from the commented samples.
.PHONY: man pages
man: build

pages:
	rm -rf '$(PAGES)'
	$(INSTALL) -d '$(PAGES)/man1' '$(PAGES)/man5' '$(PAGES)/man8' '$(PAGES)/completions'
	'$(BUILT)/mooringctl' man '$(PAGES)/man1'
	'$(BUILT)/examples/mooringd-man' >'$(PAGES)/man8/mooringd.8'
	config/page.sh mooring.toml 'how Mooring works' '$$XDG_CONFIG_HOME/mooring/mooring.toml' \
	    config/mooring.toml >'$(PAGES)/man5/mooring.toml.5'
	config/page.sh mooring-policy 'what may be done with Mooring, and what has to be' \
	    '$$XDG_CONFIG_HOME/mooring/policy.d/*.toml' config/policy.d/*.toml >'$(PAGES)/man5/mooring-policy.5'
	'$(BUILT)/mooringctl' completions bash >'$(PAGES)/completions/mooringctl'
	'$(BUILT)/mooringctl' completions zsh >'$(PAGES)/completions/_mooringctl'
	'$(BUILT)/mooringctl' completions fish >'$(PAGES)/completions/mooringctl.fish'

debug:
	$(CARGO) build --locked --workspace $(FAULTS)

demo:
	@tests/setup.sh demo
	@$(CARGO) build --locked --quiet --workspace $(FAULTS)
	@tests/demo/run --bin '$(DEBUG)' $(if $(DATA),--data '$(DATA)')

test:
	@tests/setup.sh test
	$(MAKE) debug
	$(CARGO) test --locked --workspace $(FAULTS)
	@echo 'The demo, as a test:'
	@tests/demo/run --bin '$(DEBUG)' --quiet
	@tests/unit/run --bin '$(DEBUG)'

# A part of `make test`, and the way to more of it: MOORING_RACE_ROUNDS=10000 MOORING_ROT_EVERY=1.
.PHONY: torture
torture: debug
	@MINUTES='$(or $(MINUTES),3)' HOURS='$(HOURS)' SEED='$(SEED)' '$(DEBUG)/mooring-torture'

.PHONY: filesystems
filesystems:
	@tests/setup.sh test
	$(MAKE) debug
	$(CARGO) test --locked -p mooring-tests --test filesystems -- --nocapture

check: lint verify

lint:
	@tests/setup.sh check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --all-targets $(FAULTS) -- -D warnings
	@tests/lean.sh

verify:
	@tests/setup.sh check
	$(MAKE) debug
	$(CARGO) build --locked --workspace --example mooringd-man $(FAULTS)
	@tests/verify.sh '$(DEBUG)'

.PHONY: fuzz flood
fuzz:
	@tests/setup.sh fuzz
	@MINUTES='$(or $(MINUTES),1)' tests/fuzz/run

flood: JOBS = 10000
flood: debug
	MOORING_FLOOD_JOBS='$(JOBS)' $(CARGO) test --locked -p mooring-tests --test flood -- --nocapture --test-threads=1

bench:
	@tests/setup.sh bench
	$(MAKE) build
	$(CARGO) run --locked --release -p mooring-bench

.PHONY: growth count
growth:
	$(CARGO) build --locked --release -p mooring-bench
	'$(RELEASE)/mooring-bench' growth tests/bench/growth.svg

# `make count KEEP=--keep` keeps the new counts.
count:
	@tests/setup.sh count
	$(CARGO) build --locked --release -p mooring-bench
	'$(RELEASE)/mooring-bench' count tests/bench/instructions.toml $(KEEP)

# Never builds as root what was built before: `make build && sudo make install`.
install: build
	$(INSTALL) -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(libexecdir)/mooring'
	$(INSTALL) -m 0755 '$(RELEASE)/mooringd' '$(RELEASE)/mooringctl' '$(DESTDIR)$(bindir)'
	@# Not readable: a process that cannot be read cannot be traced by its person's other programs.
	$(INSTALL) -m 0711 '$(RELEASE)/mooring-worker' '$(DESTDIR)$(libexecdir)/mooring'
	$(MAKE) install-units install-docs install-pages

.PHONY: install-units install-docs install-pages
install-units:
	$(INSTALL) -d '$(DESTDIR)$(systemduserunitdir)' '$(DESTDIR)$(dbusservicesdir)'
	sed 's|@bindir@|$(bindir)|g' systemd/user/mooringd.service >'$(DESTDIR)$(systemduserunitdir)/mooringd.service'
	sed 's|@bindir@|$(bindir)|g' systemd/dbus/org.mooring1.service >'$(DESTDIR)$(dbusservicesdir)/org.mooring1.service'
	chmod 0644 '$(DESTDIR)$(systemduserunitdir)/mooringd.service' '$(DESTDIR)$(dbusservicesdir)/org.mooring1.service'
	if [ '$(NOTIFY_RELOAD)' = yes ] || { [ '$(NOTIFY_RELOAD)' = auto ] && $(has_notify_reload); }; then \
	    $(INSTALL) -d '$(DESTDIR)$(systemduserunitdir)/mooringd.service.d' && \
	    $(INSTALL_DATA) systemd/user/mooringd.service.d/notify-reload.conf '$(DESTDIR)$(systemduserunitdir)/mooringd.service.d'; \
	fi

# The samples go to the documentation: a daemon that runs for one person reads that person's own
# configuration, and nobody's file is ever overwritten.
install-docs:
	$(INSTALL) -d '$(DESTDIR)$(docdir)/examples/policy.d'
	$(INSTALL_DATA) README.md ARCHITECTURE.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE '$(DESTDIR)$(docdir)'
	$(INSTALL_DATA) config/mooring.toml '$(DESTDIR)$(docdir)/examples'
	$(INSTALL_DATA) config/policy.d/*.toml '$(DESTDIR)$(docdir)/examples/policy.d'

install-pages:
	$(INSTALL) -d '$(DESTDIR)$(mandir)'/man{1,5,8} '$(DESTDIR)$(bashcompletiondir)' \
	    '$(DESTDIR)$(zshcompletiondir)' '$(DESTDIR)$(fishcompletiondir)'
	for section in 1 5 8; do \
	    $(INSTALL_DATA) '$(PAGES)/man'$$section/* '$(DESTDIR)$(mandir)/man'$$section; \
	done
	$(INSTALL_DATA) '$(PAGES)/completions/mooringctl' '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) '$(PAGES)/completions/_mooringctl' '$(DESTDIR)$(zshcompletiondir)'
	$(INSTALL_DATA) '$(PAGES)/completions/mooringctl.fish' '$(DESTDIR)$(fishcompletiondir)'

clean:
	$(CARGO) clean
