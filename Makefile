# Watershed: `make` lists what it can do. Nothing else needs to be installed beforehand but Go, Node.js (20 or newer) and git.

GO        ?= go
FUZZTIME  ?= 10s
DEMO      ?=
SOAK      ?= 20m
ABR       ?= 10m
GOFUMPT     = $(GO) run mvdan.cc/gofumpt@v0.9.2
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

export CGO_ENABLED ?= 0

.PHONY: help build demo test check bench fuzz soak abr web clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: web ## bin/watershed, pages inside
	$(GO) build -trimpath -o bin/watershed ./cmd/watershed

demo: build ## a node with six synthetic cameras: prints addresses to open (DEMO="-n 12" for more)
	bin/watershed demo $(DEMO)

test: web ## all tests; installs FFmpeg, Chromium and other witnesses if they are missing
	@.ci/install
	@$(GO) run ./.ci/test

check: web ## gofumpt, vet, staticcheck, and the Go tests with the race detector
	@.ci/install
	@unformatted=$$($(GOFUMPT) -l .) && { [ -z "$$unformatted" ] || { echo "gofumpt would change:"; echo "$$unformatted"; exit 1; }; }
	$(GO) vet ./...
	$(STATICCHECK) ./...
	@npm --prefix web run check --if-present
	@CGO_ENABLED=1 $(GO) run ./.ci/test -race

bench: build ## figures beside goals (BENCH="webrtc" for some of them)
	@.ci/install ffmpeg chromium nginx-light varnish
	@$(GO) run ./cmd/watershed/bench $(BENCH)

fuzz: ## every fuzz target for FUZZTIME (10s)
	@GO=$(GO) FUZZTIME=$(FUZZTIME) .ci/fuzz

soak: ## cameras flap and viewers churn for 20 minutes (SOAK=2h for longer); a recording node is killed 50 times
	$(GO) test -count=1 -v -timeout 0 ./cmd/watershed/soak -soak $(SOAK)
	$(GO) test -count=1 -v -timeout 0 -run KilledRecorder ./cmd/watershed/e2e -kills 50

abr: web ## hls.js, Shaka and dash.js play a ladder while their network shrinks and grows, for 10 minutes (ABR=2m for less)
	@.ci/install ffmpeg chromium
	$(GO) run ./cmd/watershed/abr -for $(ABR)

clean: ## removes what make built
	rm -rf bin web/dist web/node_modules

# The pages are built again when a source of theirs is newer than the last build.
web: web/dist/.built

web/dist/.built: web/node_modules/.package-lock.json $(shell find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' -not -name '*.go')
	@cd web && npm run build --if-present --silent
	@mkdir -p web/dist && touch $@

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo "The pages are built with Node.js 20 or newer, and npm is not on the PATH. Install it (https://nodejs.org),"; \
		echo "or build without pages: go build -o bin/watershed ./cmd/watershed"; exit 1; }
	@cd web && npm ci --no-audit --no-fund --silent
	@touch $@
