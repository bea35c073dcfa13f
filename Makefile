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
systemdsystemunitdir ?= $(PREFIX)/lib/systemd/system
systemdpresetdir ?= $(PREFIX)/lib/systemd
sysusersdir ?= $(PREFIX)/lib/sysusers.d
tmpfilesdir ?= $(PREFIX)/lib/tmpfiles.d
dbusservicesdir ?= $(datadir)/dbus-1/services
dbussystemservicesdir ?= $(datadir)/dbus-1/system-services
dbusinterfacesdir ?= $(datadir)/dbus-1/interfaces
dbuspolicydir ?= $(datadir)/dbus-1/system.d
polkitdir ?= $(datadir)/polkit-1
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
INSTALL_PROGRAM = $(INSTALL)

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
	@echo 'make keys                 only: what seals secrets: missing, wrong, changed, with a real keyring'
	@echo 'make filesystems          only: real file systems, a FUSE that fails on command, rot, races (as root)'
	@echo 'make rest [SECONDS=60]    only: nothing runs when nothing changes, and still every change is noticed'
	@echo 'make rot                  only: rot in all that Mooring keeps, two daemons at once, too many changes (as root)'
	@echo 'make check                format, lints, units, configuration, dependencies'
	@echo 'make polkit               only: what polkit answers for each method, and its agent at a terminal (as root)'
	@echo 'make fuzz [MINUTES=n]     any bytes for everything that reads what others wrote'
	@echo 'make flood [JOBS=n]       clients that flood, vanish, hoard and never read; prints what it measures'
	@echo 'make scale [SIZE=small] [ONLY=NAME]   a million files, 500 folders deep, 200 GB of hole, 200 accounts'
	@echo 'make bench [ONLY=accounts|files]  measures, side by side with peers; or only the broker, or the worker'
	@echo 'make growth [FULL=1]      time and memory of 1,000 to 100,000 files (a million), as a table and a picture'
	@echo 'make count                instructions and system calls of each operation, against those kept'
	@echo 'make build                release binaries, manual pages, completions (also: make man)'
	@echo 'make install [PREFIX=/usr] [DESTDIR=DIR]'
	@echo 'make deb [DEB_VERSION=V]  a Debian package'
	@echo 'make machine              only: system mode on a machine with a real systemd: units, bus, packages (as root)'
	@echo 'make policy               only: signed bundles of policy, their fetcher, conditions of rules, the audit'
	@echo 'make setup                installs what the above need (Debian and its kin)'

setup:
	@tests/setup.sh

# Where the installed daemon looks for its worker, if it is not beside it.
build: export LIBEXECDIR = $(libexecdir)/mooring
build:
	$(CARGO) build --locked --release -p mooringd -p mooring-worker -p mooringctl
	$(CARGO) build --locked --release -p mooringd --example mooringd-man
	$(MAKE) --no-print-directory pages

# The package of Debian and its kin, with what was built; where it is, is printed.
DEB_VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-1
.PHONY: deb machine
deb: build
	systemd/debian/build '$(RELEASE)' '$(DEB_VERSION)' '$(CARGO_TARGET_DIR)'

machine:
	@tests/setup.sh machine
	$(MAKE) debug
	$(CARGO) build --locked --example mooringd-man $(FAULTS)
	$(CARGO) test --locked -p mooring-tests --test machine -- --nocapture

# Manual pages and completions, from the same source as --help and from the commented samples.
.PHONY: man pages
man: build

pages:
	rm -rf '$(PAGES)'
	$(INSTALL) -d '$(PAGES)/man1' '$(PAGES)/man5' '$(PAGES)/man8' '$(PAGES)/completions'
	'$(BUILT)/mooringctl' man '$(PAGES)/man1'
	'$(BUILT)/examples/mooringd-man' >'$(PAGES)/man8/mooringd.8'
	$(INSTALL_DATA) daemon/worker/mooring-worker.8 '$(PAGES)/man8'
	config/page.sh mooring.toml 'how Mooring works' '/etc/mooring/mooring.toml, $$XDG_CONFIG_HOME/mooring/mooring.toml' \
	    config/mooring.toml >'$(PAGES)/man5/mooring.toml.5'
	config/page.sh mooring-policy 'what may be done with Mooring, and what has to be' \
	    '/etc/mooring/policy.d/*.toml, $$XDG_CONFIG_HOME/mooring/policy.d/*.toml' config/policy.d/*.toml >'$(PAGES)/man5/mooring-policy.5'
	daemon/api/page.sh >'$(PAGES)/man5/org.mooring1.5'
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
	@tests/setup.sh test polkit machine
	$(MAKE) debug
	$(CARGO) test --locked --workspace $(FAULTS)
	@echo 'The demo, as a test:'
	@tests/demo/run --bin '$(DEBUG)' --quiet
	@tests/unit/run --bin '$(DEBUG)'
	@tests/policy/fetch.sh

# A part of `make test`; the fetcher needs a server and so is asked here.
.PHONY: policy
policy:
	@tests/setup.sh test
	$(MAKE) debug
	tests/policy/fetch.sh
	$(CARGO) test --locked -p mooring-core --test policy
	$(CARGO) test --locked -p mooringd --lib -- audit rules circumstances
	$(CARGO) test --locked -p mooring-tests --test scenarios -- bundles

# A part of `make test`, and the way to more of it: MOORING_RACE_ROUNDS=10000 MOORING_ROT_EVERY=1.
.PHONY: torture
torture: debug
	@MINUTES='$(or $(MINUTES),3)' HOURS='$(HOURS)' SEED='$(SEED)' '$(DEBUG)/mooring-torture'

# The key of one person; that of a device is a part of `make machine`.
.PHONY: keys
keys:
	@tests/setup.sh test
	$(MAKE) debug
	$(CARGO) test --locked -p mooring-tests --test keys

.PHONY: polkit
polkit:
	@tests/setup.sh polkit
	$(MAKE) debug
	$(CARGO) test --locked -p mooringd $(FAULTS) --test polkit

.PHONY: filesystems
filesystems:
	@tests/setup.sh test
	$(MAKE) debug
	$(CARGO) test --locked -p mooring-tests --test filesystems -- --nocapture

# A part of `make test`; with SECONDS the broker is watched for longer.
.PHONY: rest
rest: debug
	MOORING_REST_SECONDS='$(or $(SECONDS),60)' $(CARGO) test --locked -p mooring-tests --test rest -- --nocapture

# More of it: MOORING_ROT_EVERY=1.
.PHONY: rot
rot:
	@tests/setup.sh test
	$(MAKE) debug
	$(CARGO) test --locked -p mooring-tests --test filesystems rot -- --nocapture
	$(CARGO) test --locked -p mooring-tests --test scenarios at_once -- --nocapture

check: lint verify

lint:
	@tests/setup.sh check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --all-targets $(FAULTS) -- -D warnings
	@# The fuzz targets are a workspace of their own, which nothing else builds.
	$(CARGO) metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null
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

# ONLY is one of: files, folder, deep, sparse, accounts. The full size needs 20 GB and 4 million inodes.
.PHONY: scale
scale:
	@tests/setup.sh demo
	$(CARGO) build --locked --release -p mooringd -p mooring-worker -p mooringctl
	@# The driver unwinds, and so cleans up, where the release profile would abort.
	$(CARGO) build --locked -p mooring-scale
	@MOORING_BIN_DIR='$(RELEASE)' SIZE='$(SIZE)' ONLY='$(ONLY)' '$(DEBUG)/mooring-scale'

bench:
	@tests/setup.sh bench
	$(MAKE) build
	$(CARGO) run --locked --release -p mooring-bench -- $(ONLY)

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
	$(MAKE) install-programs install-units install-docs install-pages

# What is built, into its places. A unit of the system's own service manager is only found below
# PREFIX=/usr or PREFIX=/usr/local; sysusers.d, tmpfiles.d and actions of polkit only below /usr.
.PHONY: install-programs install-units install-user install-system install-docs install-pages
install-programs:
	$(INSTALL) -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(libexecdir)/mooring'
	$(INSTALL_PROGRAM) -m 0755 '$(BUILT)/mooringd' '$(BUILT)/mooringctl' '$(DESTDIR)$(bindir)'
	@# Not readable: a process that cannot be read cannot be traced by its person's other programs.
	$(INSTALL_PROGRAM) -m 0711 '$(BUILT)/mooring-worker' '$(DESTDIR)$(libexecdir)/mooring'

# SOURCE PLACE: a file that names programs, with the places of ours.
define install_with_places
sed -e 's|@bindir@|$(bindir)|g' -e 's|@workerdir@|$(libexecdir)/mooring|g' '$(1)' >'$(DESTDIR)$(2)'
chmod 0644 '$(DESTDIR)$(2)'
endef

# UNITDIR: the drop-in for systemd 253 and later.
define install_notify_reload
if [ '$(NOTIFY_RELOAD)' = yes ] || { [ '$(NOTIFY_RELOAD)' = auto ] && $(has_notify_reload); }; then \
    $(INSTALL) -d '$(DESTDIR)$(1)/mooringd.service.d' && \
    $(INSTALL_DATA) systemd/user/mooringd.service.d/notify-reload.conf '$(DESTDIR)$(1)/mooringd.service.d'; \
fi
endef

install-units: install-user install-system

install-user:
	$(INSTALL) -d '$(DESTDIR)$(systemduserunitdir)' '$(DESTDIR)$(systemdpresetdir)/user-preset' '$(DESTDIR)$(dbusservicesdir)'
	$(call install_with_places,systemd/user/mooringd.service,$(systemduserunitdir)/mooringd.service)
	$(call install_with_places,systemd/dbus/org.mooring1.service,$(dbusservicesdir)/org.mooring1.service)
	$(INSTALL_DATA) systemd/preset/80-mooring.user.preset '$(DESTDIR)$(systemdpresetdir)/user-preset/80-mooring.preset'
	$(call install_notify_reload,$(systemduserunitdir))

install-system:
	$(INSTALL) -d '$(DESTDIR)$(libexecdir)/mooring' '$(DESTDIR)$(systemdsystemunitdir)' '$(DESTDIR)$(systemdpresetdir)/system-preset' \
	    '$(DESTDIR)$(dbussystemservicesdir)' '$(DESTDIR)$(dbuspolicydir)' '$(DESTDIR)$(sysusersdir)' \
	    '$(DESTDIR)$(tmpfilesdir)' '$(DESTDIR)$(polkitdir)'/{actions,rules.d} '$(DESTDIR)$(PREFIX)/lib/systemd/catalog'
	$(call install_with_places,systemd/system/mooringd.service,$(systemdsystemunitdir)/mooringd.service)
	$(call install_with_places,systemd/system/mooring-worker@.service,$(systemdsystemunitdir)/mooring-worker@.service)
	$(call install_with_places,systemd/system/mooring-policy-fetch.service,$(systemdsystemunitdir)/mooring-policy-fetch.service)
	$(INSTALL_DATA) systemd/system/mooring-policy-fetch.timer '$(DESTDIR)$(systemdsystemunitdir)'
	$(INSTALL) -m 0755 systemd/libexec/mooring-policy-fetch '$(DESTDIR)$(libexecdir)/mooring'
	$(INSTALL_DATA) systemd/catalog/mooring.catalog '$(DESTDIR)$(PREFIX)/lib/systemd/catalog'
	$(call install_with_places,systemd/system/mooring-key.service,$(systemdsystemunitdir)/mooring-key.service)
	$(call install_with_places,systemd/system/mooring-rotate-key.service,$(systemdsystemunitdir)/mooring-rotate-key.service)
	$(INSTALL) -m 0755 systemd/system/mooring-key '$(DESTDIR)$(libexecdir)/mooring'
	$(INSTALL_DATA) systemd/preset/80-mooring.system.preset '$(DESTDIR)$(systemdpresetdir)/system-preset/80-mooring.preset'
	$(INSTALL_DATA) systemd/dbus/org.mooring1.system.service '$(DESTDIR)$(dbussystemservicesdir)/org.mooring1.service'
	$(INSTALL_DATA) systemd/dbus/org.mooring1.conf '$(DESTDIR)$(dbuspolicydir)'
	$(INSTALL_DATA) systemd/sysusers.d/mooring.conf '$(DESTDIR)$(sysusersdir)'
	$(INSTALL_DATA) systemd/tmpfiles.d/mooring.conf '$(DESTDIR)$(tmpfilesdir)'
	$(INSTALL_DATA) systemd/polkit/*.policy '$(DESTDIR)$(polkitdir)/actions'
	$(INSTALL_DATA) systemd/polkit/*.rules '$(DESTDIR)$(polkitdir)/rules.d'
	$(call install_notify_reload,$(systemdsystemunitdir))

# The samples go to the documentation: a daemon that runs for one person reads that person's own
# configuration, and nobody's file is ever overwritten.
install-docs:
	$(INSTALL) -d '$(DESTDIR)$(docdir)/examples/policy.d'
	$(INSTALL_DATA) README.md ARCHITECTURE.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE '$(DESTDIR)$(docdir)'
	$(INSTALL_DATA) config/mooring.toml '$(DESTDIR)$(docdir)/examples'
	$(INSTALL_DATA) config/policy.d/*.toml '$(DESTDIR)$(docdir)/examples/policy.d'
	$(INSTALL) -m 0755 config/make-bundle '$(DESTDIR)$(docdir)/examples'
	$(INSTALL_DATA) daemon/api/examples/* '$(DESTDIR)$(docdir)/examples'
	$(INSTALL) -d '$(DESTDIR)$(dbusinterfacesdir)'
	$(INSTALL_DATA) daemon/api/introspection/*.xml '$(DESTDIR)$(dbusinterfacesdir)'

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
