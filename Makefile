.DEFAULT_GOAL := help
.PHONY: help dev run keycloak keycloak-stop check test e2e drill soak bench profile console generate govulncheck image release-dry-run

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## start the server with a fake Keycloak in its process
	go run ./cmd/cloakql-dev

run: ## start the server with the settings in .local.env
	go run ./cmd/cloakql

keycloak: ## start a real Keycloak on localhost:8080 with the realm "local" (needs Java 21, and Maven once)
	@scripts/keycloak start

keycloak-stop: ## stop that Keycloak
	@scripts/keycloak stop

check: ## run the gate, as CI does
	bash .ci/run

test: ## run the tests that need only Go
	go test ./...

e2e: ## run the end-to-end and contract tests against a real Keycloak, which it starts and stops
	scripts/keycloak with bash -c 'go test -count=1 -p 1 -timeout 60m ./e2e ./keycloak/keycloaktest && cd keycloak/keycloaktest/contract && go test -count=1 -timeout 60m'

drill: ## show with figures how token verification survives outages and attacks (1 minute)
	go run ./keycloak/drill

bench: ## what requests cost, compared with a bare net/http handler (needs wrk; ten minutes)
	go run ./e2e/bench -plot docs/pictures/requests.svg

profile: ## renew the CPU profile that the compiler uses for cmd/cloakql (needs wrk; a minute)
	go run ./e2e/bench -pgo cmd/cloakql/default.pgo

soak: ## run at full load against the fake Keycloak; the live heap must not grow (10 minutes)
	TEST_SOAK=10m go test -count=1 -timeout 20m -v -run TestSoak ./e2e

console: ## build the console (needs Node.js 20.19)
	npm ci --ignore-scripts --prefix console --no-audit --no-fund --loglevel=error
	npm run --prefix console check
	npm run --prefix console build

generate: ## regenerate the GraphQL code from schema/*.graphqls
	go generate ./...

govulncheck: ## look for known vulnerabilities in the code that we call (fetches the tool and its database)
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...

image: ## build the container image of the last commit (needs Docker; PLATFORM=linux/arm64 for another one)
	git archive HEAD | docker buildx build --load $(if $(PLATFORM),--platform=$(PLATFORM)) \
		--build-arg VERSION=$$(git describe --tags --always) --build-arg COMMIT=$$(git rev-parse HEAD) \
		--build-arg DATE=$$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ) \
		--tag cloakql:$$(git describe --tags --always) -

release-dry-run: ## build a release of the last commit twice, and check and compare its files (15 minutes)
	@scripts/release dry-run
