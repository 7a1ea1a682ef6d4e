.DEFAULT_GOAL := help
.PHONY: help dev run keycloak keycloak-stop check test e2e drill soak console generate govulncheck image release-dry-run

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## start the server with a stand-in for Keycloak in its process
	go run ./cmd/cloakql-dev

run: ## start the server with the settings in .local.env
	go run ./cmd/cloakql

keycloak: ## start a real Keycloak on localhost:8080 with the realm "local" (needs Java 21; Maven once)
	@scripts/keycloak start

keycloak-stop: ## stop it
	@scripts/keycloak stop

check: ## everything that must pass before a commit
	bash .ci/run

test: ## the tests that need nothing but Go
	go test ./...

e2e: ## the end-to-end and contract tests against a real Keycloak, started and stopped for them
	scripts/keycloak with bash -c 'go test -count=1 -p 1 -timeout 60m ./e2e ./keycloak/keycloaktest && cd keycloak/keycloaktest/contract && go test -count=1 -timeout 60m'

drill: ## what a verifier's keys go through in an outage and an attack, with figures of real time (a minute)
	go run ./keycloak/drill

soak: ## ten minutes at full load, beside the stand-in: the live heap must not grow
	TEST_SOAK=10m go test -count=1 -timeout 20m -v -run TestSoak ./e2e

console: ## build the console again (needs Node.js 20.19)
	npm ci --ignore-scripts --prefix console --no-audit --no-fund --loglevel=error
	npm run --prefix console check
	npm run --prefix console build

generate: ## regenerate the GraphQL code from schema/*.graphqls
	go generate ./...

govulncheck: ## known vulnerabilities in what we call (fetches the tool and the Go vulnerability database)
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...

image: ## build the container image from the last commit, as cloakql:VERSION (needs Docker; PLATFORM=linux/arm64 for another one)
	git archive HEAD | docker buildx build --load $(if $(PLATFORM),--platform=$(PLATFORM)) \
		--build-arg VERSION=$$(git describe --tags --always) --build-arg COMMIT=$$(git rev-parse HEAD) \
		--build-arg DATE=$$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ) \
		--tag cloakql:$$(git describe --tags --always) -

release-dry-run: ## build a release of the last commit twice, compare and check it; nothing is published (15 minutes)
	@scripts/release dry-run
