# make run     boot a guest and run CMD in it          make test    the whole test suite
# make build   build/krunbox and build/init.krun       make bench   what a boot costs
# make lint    vet for every platform, golangci-lint   make fuzz    every parser, FUZZTIME inputs
# make image   a guest image, see below                make dist    archives of all platforms
# make soak    guests with random faults and workloads: SOAK=1h, SEED=1 BOOT=7 repeats one
# make test-software   real programs in guests: servers, languages, supervisors, containers

GOOS    ?= linux
GOARCH  ?= $(shell go env GOARCH)
VERSION ?= $(shell git describe --tags 2>/dev/null || echo v0.0.0)$(shell git log -1 \
	--format="+$$(git describe --always --exclude='*' --abbrev=12 --dirty).%cs" 2>/dev/null)
PREFIX  ?= /usr/local
FUZZTIME ?= 2000000x
SOAK    ?= 10m
CMD     ?= echo "hello from $(uname -sr)"; id; exit 0
# make does not expand CMD: the guest's shell gets it as it was typed, by the environment.
override CMD := $(value CMD)
export CMD

# Binaries for other platforms, and for confidential guests (TEE=1), have directories of their own.
HOSTARCH = $(shell go env GOHOSTARCH)
OUT = build$(if $(TEE),/tee)$(if $(filter-out linux,$(GOOS)),/$(GOOS)-$(GOARCH),$(if \
	$(filter-out $(HOSTARCH),$(GOARCH)),/$(GOARCH)))

# The guest's platform differs from that of the programs that build it.
unexport GOOS GOARCH

# The user's settings must not change modules or flags of the build.
export GOFLAGS =
export GOWORK = off

.PHONY: dist install guestinit image rootfs build run test test-software soak bench vet lint fuzz clean deps krunhost

build:
	go run ./multicall/build -goos $(GOOS) -goarch $(GOARCH) -version '$(VERSION)' \
		$(if $(TEE),-tags tee) -o $(OUT)/krunbox
	ln -f $(OUT)/krunbox $(OUT)/init.krun

krunhost:
	cd integration && CGO_ENABLED=0 go build -trimpath -o ../build/krunhost ./cmd/krunhost

# CMDS: commands of u-root, or "default ..." for more than the default. KERNEL: debian, or a path.
# MODULES: modules of the kernel to load. FILES: HOST-PATH[:GUEST-PATH]... SH: busybox for BusyBox's
# shell and commands; SHELL would be the shell of make itself. KIND of the image: cpio, cpio.gz,
# cpio.zst, tar.gz, ext4, dir (must be empty or not exist) ...
image: KIND = cpio.gz
rootfs: KIND = ext4
image rootfs: NAME = $(if $(filter image,$@),krunbox,rootfs)$(if $(filter dir,$(KIND)),/,.$(KIND))
image rootfs:
	@mkdir -p build
	cd multicall/image && go run ./build -version '$(VERSION)' -goarch $(GOARCH) \
		-o $(CURDIR)/build/$(NAME) $(if $(CMDS),-commands '$(CMDS)') \
		$(if $(KERNEL),-kernel $(if $(filter debian,$(KERNEL)),debian,$(abspath $(KERNEL))) \
			-kernel-out $(CURDIR)/build/vmlinuz) \
		$(if $(filter command,$(origin SH)),-shell '$(SH)') \
		$(if $(MODULES),-modules '$(MODULES)') $(foreach f,$(FILES),-files $(abspath $(f)))

# Writes archives of all platforms and SHA256SUMS to build/dist.
dist:
	go run ./multicall/dist/build release -version '$(VERSION)' -o build/dist

install: build
	go run ./multicall/dist/build install -version '$(VERSION)' -goos $(GOOS) -goarch $(GOARCH) \
		-binary $(OUT)/krunbox -prefix '$(PREFIX)' -destdir '$(DESTDIR)'

# Builds the binaries that package guestinit embeds in hosts written in Go.
guestinit:
	VERSION='$(VERSION)' go generate ./pkg/guestinit

deps:
	@./integration/deps.sh

run: deps build krunhost
	@build/krunhost -- /bin/sh -c "$$CMD"; code=$$?; echo "exit code: $$code"

test: deps vet
	$(MAKE) build
	$(MAKE) build GOARCH=arm64
	$(MAKE) build TEE=1
	go test ./...
	cd multicall/image && go test ./...
	cd integration && go test -count=1 -timeout 45m -parallel 4 ./... # the cache does not know of ../build

# Compares krunbox with libkrun's own init for all inputs; make test does so for some of them.
test-libkrun: deps build
	cd integration && go test -count=1 -timeout 30m ./cases -run TestLikeLibkrun -all-inputs

# Roots of Debian packages are made and cached by the first run. Six programs are tested by make test too.
test-software: deps build
	cd integration && go test -count=1 -timeout 30m -tags software ./software

# Boots guests for the time SOAK, each with faults and a workload drawn from SEED. See integration/soak.
soak: deps build
	cd integration && go run ./cmd/soak -for $(SOAK) $(if $(SEED),-seed $(SEED)) $(if $(BOOT),-boot $(BOOT)) $(if $(V),-v)

bench: deps build
	cd integration && go run ./cmd/bench

vet:
	go vet ./...
	GOARCH=arm64 go vet ./...
	GOARCH=riscv64 go vet ./...
	GOOS=freebsd go vet ./...
	GOOS=freebsd GOARCH=arm64 go vet ./...
	go vet -tags tee ./pkg/guestboot
	cd integration && go vet -tags software ./...
	cd multicall/image && go vet ./...
	@test -z "$$(gofmt -l .)" || { echo "not formatted by gofmt:"; gofmt -l .; exit 1; }

lint: vet
	golangci-lint run ./...
	cd integration && golangci-lint run --build-tags software ./...
	cd multicall/image && golangci-lint run ./...

# Counts executions: with a time, the go command ends now and then in "context deadline exceeded".
# Prints the time that each target takes, with its start: some seconds.
fuzz:
	@for dir in $$(grep -rl '^func Fuzz' --include=*_test.go pkg multicall | \
	    xargs -n1 dirname | sort -u); do \
	  for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$dir/*_test.go); do \
	    start=$$(date +%s); \
	    go test ./$$dir -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) || exit 1; \
	    echo "$$dir $$f: $$(($$(date +%s) - start)) s"; \
	  done; \
	done

clean:
	rm -rf build pkg/guestinit/binaries/*.krun
