FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /cloakql ./cmd/cloakql

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /cloakql /cloakql
ENV RUNTIME_ENV=prod
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/cloakql"]
