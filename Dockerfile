# make image builds it with VERSION, COMMIT and DATE of the commit; without them, cloakql version prints (devel).
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN scripts/notices /THIRD_PARTY_NOTICES.txt
ARG VERSION
ARG COMMIT
ARG DATE
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w -buildid= -X github.com/cloakql/cloakql/internal/program.version=$VERSION -X github.com/cloakql/cloakql/internal/program.commit=$COMMIT -X github.com/cloakql/cloakql/internal/program.date=$DATE" -o /cloakql ./cmd/cloakql

FROM scratch
ARG VERSION
ARG COMMIT
ARG DATE
LABEL org.opencontainers.image.title="CloakQL" \
      org.opencontainers.image.description="A typed GraphQL API in front of a Keycloak realm" \
      org.opencontainers.image.source="https://github.com/cloakql/cloakql" \
      org.opencontainers.image.url="https://github.com/cloakql/cloakql" \
      org.opencontainers.image.documentation="https://github.com/cloakql/cloakql/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$DATE"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/LICENSE /THIRD_PARTY_NOTICES.txt /
COPY --from=build /cloakql /cloakql
ENV RUNTIME_ENV=prod
USER 65532:65532
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/cloakql", "check", "--live"]
ENTRYPOINT ["/cloakql"]
