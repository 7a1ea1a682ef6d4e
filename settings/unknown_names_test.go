package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// commonNames are common environment variables of shells, CI services, Kubernetes, cloud providers
// and other programs.
const commonNames = `ADDRESS ALLOWED_ORIGINS ALLOWED_IPS ANSIBLE_HOST_KEY_CHECKING API_KEY
	API_TIMEOUT APP_ENV APP_NAME APPDATA AUDIENCE AUTH_TOKEN AWS_ACCESS_KEY_ID AWS_DEFAULT_REGION
	AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_NAME AWS_PROFILE AWS_REGION AWS_ROLE_ARN
	AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_WEB_IDENTITY_TOKEN_FILE AZURE_CLIENT_ID
	AZURE_CLIENT_SECRET AZURE_FEDERATED_TOKEN_FILE AZURE_TENANT_ID BASH BASH_ENV BASH_VERSION
	BRANCH_NAME BROWSER BUILDKITE BUILDKITE_BRANCH BUILD_ID BUILD_NUMBER BUILD_TAG BUILD_URL
	BUNDLE_PATH CARGO_HOME CC CFLAGS CGO_ENABLED CI CIRCLECI CIRCLE_BRANCH CIRCLE_SHA1
	CI_COMMIT_REF_NAME CI_COMMIT_SHA CI_JOB_ID CI_JOB_TOKEN CI_PIPELINE_ID CI_PROJECT_NAME
	CI_REGISTRY CI_REGISTRY_PASSWORD CI_REGISTRY_USER CLIENT_ID CLIENT_SECRET
	CLIENT_MAX_BODY_SIZE CLOUDSDK_CONFIG CLOUD_RUN_JOB COLORTERM COLUMNS COMPOSE_FILE
	COMPOSE_PROJECT_NAME COMPUTERNAME COMSPEC CONFIG CONFIG_FILE CONSOLE_AUTH_TOKEN CONSOLE_LEVEL
	CONSOLE_LOG CONSOLE_LOG_LEVEL CONSOLE_PORT CONSOLE_URL CONTAINER_NAME CORS CORS_ENABLED
	CPU_LIMIT CURL_CA_BUNDLE DATABASE_URL DB_HOST DB_MAX_CONNECTIONS DB_NAME DB_PASSWORD DB_PORT
	DB_USER DBUS_SESSION_BUS_ADDRESS DEBIAN_FRONTEND DEBUG DENO_DIR DISPLAY DNS_SERVER
	DOCKER_BUILDKIT DOCKER_CONFIG DOCKER_HOST DOCKER_TLS_VERIFY DYNO EDITOR EMAIL ENV ENVIRONMENT
	ENV_NAME FLASK_ENV FLY_APP_NAME FLY_REGION FORCE_COLOR FORWARDED_ALLOW_IPS FUNCTION_NAME
	GCLOUD_PROJECT GCP_PROJECT GEM_HOME GITHUB_ACTION GITHUB_ACTIONS GITHUB_ACTOR GITHUB_ENV
	GITHUB_EVENT_NAME GITHUB_HEAD_REF GITHUB_OUTPUT GITHUB_PATH GITHUB_REF GITHUB_REPOSITORY
	GITHUB_RUN_ID GITHUB_SHA GITHUB_TOKEN GITHUB_WORKSPACE GITLAB_CI GIT_AUTHOR_NAME GIT_BRANCH
	GIT_COMMIT GIT_SSH_COMMAND GOARCH GOCACHE GODEBUG GOFLAGS GOGC GOMAXPROCS GOMEMLIMIT
	GOMODCACHE GOOGLE_APPLICATION_CREDENTIALS GOOGLE_CLOUD_PROJECT GOOS GOPATH GOPRIVATE GOPROXY
	GOROOT GOSUMDB GOTOOLCHAIN GPG_TTY GRADLE_OPTS GRAFANA_URL GRPC_PORT HEROKU_APP_NAME HISTFILE
	HISTSIZE HOME HOMEBREW_PREFIX HOST HOSTNAME HOSTTYPE HTTPS_PROXY HTTP_PORT HTTP_PROXY
	http_proxy https_proxy no_proxy IMAGE_TAG INVOCATION_ID ISSUER ISSUER_URL JAVA_HOME JAVA_OPTS
	JAVA_TOOL_OPTIONS JENKINS_HOME JENKINS_URL JOB_NAME JOURNAL_STREAM JWT_AUDIENCE JWT_ISSUER
	JWT_SECRET KC_HOSTNAME KC_DB KC_HTTP_ENABLED KC_BOOTSTRAP_ADMIN_PASSWORD KUBECONFIG
	KUBERNETES_PORT KUBERNETES_PORT_443_TCP KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT
	K_REVISION K_SERVICE LANG LANGUAGE LC_ALL LC_CTYPE LD_LIBRARY_PATH LESS LIMITS_CPU
	LIMITS_MEMORY LIMIT_CPU LIMIT_MEMORY LINES LISTEN_ADDR LISTEN_FDS LISTEN_PID LOGIN LOGIN_URL
	LOGIN_SHELL LOGNAME LOG_FORMAT LOG_LEVEL LOGS_DIR LS_COLORS MAIL MAILTO MAKEFLAGS MAKELEVEL
	MANPATH MAVEN_OPTS MAX_CONNECTIONS MAX_RETRIES MAX_WORKERS MEMORY_LIMIT METRICS_PORT
	MONGO_URL MYSQL_HOST MYSQL_ROOT_PASSWORD NAMESPACE NETLIFY NGINX_HOST NODE_ENV
	NODE_EXTRA_CA_CERTS NODE_NAME NODE_OPTIONS NODE_PATH NO_COLOR NO_PROXY NPM_CONFIG_CACHE
	NPM_TOKEN NVM_DIR OAUTH_CLIENT_ID OLDPWD OTEL_EXPORTER_OTLP_ENDPOINT OTEL_RESOURCE_ATTRIBUTES
	OTEL_SERVICE_NAME PAGER PATH PGDATABASE PGHOST PGPASSWORD PGUSER PIP_INDEX_URL PLATFORM
	POD_IP POD_NAME POD_NAMESPACE PORT POSTGRES_DB POSTGRES_PASSWORD POSTGRES_USER PROJECT_ID
	PROMPT_COMMAND PROXY PS1 PUBLIC_URL PWD PYTHONPATH PYTHONUNBUFFERED QUEUE_URL RABBITMQ_URL
	RAILS_ENV RAILWAY_ENVIRONMENT RANDOM REALM REALM_NAME REDIS_HOST REDIS_PASSWORD REDIS_URL
	REFRESH_INTERVAL REFRESH_TOKEN REFRESH_TOKEN_SECRET REFRESH_TOKEN_TTL RENDER
	RENDER_SERVICE_ID REQUESTS_CA_BUNDLE REQUEST_ID RUNNER_OS RUNNER_TEMP RUNTIME
	RUNTIME_DIRECTORY RUNTIME_VERSION RUSTUP_HOME SECRET_KEY SENTRY_DSN SENTRY_ENVIRONMENT
	SERVER_NAME SERVER_URL SERVICE_NAME SESSION_SECRET SHELL SHLVL SMTP_HOST SOURCE_DATE_EPOCH
	SSH_AGENT_PID SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY SSL_CERT_DIR SSL_CERT_FILE
	STAGE SUDO_USER SYSTEMROOT TEMP TENANT_ID TERM TERM_PROGRAM TF_VAR_region TIMEOUT TMP TMPDIR
	TOKEN TOKEN_EXPIRY TOKEN_SECRET TOKEN_URL TRACEPARENT TRAVIS TRUSTED_HOSTS TRUST_PROXY TZ
	USER USERNAME USERPROFILE VAULT_ADDR VAULT_TOKEN VERCEL VERCEL_ENV VERSION VIRTUAL_ENV VISUAL
	WEBSITE_SITE_NAME WINDIR WORKSPACE XDG_CACHE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR
	XDG_SESSION_TYPE _ CLOAKQL_PORT CLOAKQL_PORT_8000_TCP CLOAKQL_PORT_8000_TCP_ADDR
	CLOAKQL_SERVICE_HOST CLOAKQL_SERVICE_PORT CLOAKQL_VERSION CLOAKQL_IMAGE KEYCLOAK_SERVICE_HOST
	KEYCLOAK_PORT_8080_TCP_ADDR`

// unknownNames doesn't warn about common environment variables.
func TestUnknownNames_commonNames(t *testing.T) {
	names := strings.Fields(commonNames)
	if len(names) < 300 {
		t.Fatalf("commonNames has %d names, want at least 300", len(names))
	}
	environment := map[string]string{}
	for _, name := range names {
		environment[name] = "x"
	}
	if warnings := unknownNames(environment, nil); len(warnings) != 0 {
		t.Errorf("got the warnings\n%s\nwant none", strings.Join(warnings, "\n"))
	}
}

// suggestSetting recognizes common mistakes and single typos. It returns "" for a name that already
// is a setting.
func TestSuggestSetting(t *testing.T) {
	for name, want := range map[string]string{
		"TRUSTED_DOCUMENT": "TRUSTED_DOCUMENTS", "LOGIN_ACOUNT_LIMIT": "LOGIN_ACCOUNT_LIMIT",
		"REFRESH_GRACES": "REFRESH_GRACE",
		"TRUSTED_PROXY":  "TRUSTED_PROXIES", "TRUSTED_PROXYS": "TRUSTED_PROXIES",
		"TRUTSED_PROXIES": "TRUSTED_PROXIES", "TRUSTEDPROXIES": "TRUSTED_PROXIES",
		"CORS_ORIGIN": "CORS_ORIGINS", "CORS_ORGINS": "CORS_ORIGINS",
		"ALLOWED_HOST": "ALLOWED_HOSTS", "LOGIN_SCOPES": "LOGIN_SCOPE",
		"RUNTIME_ENVIRONMENT": "RUNTIME_ENV", "RUNTIM_ENV": "RUNTIME_ENV",
		"KEY_MAX_AGE": "KEYS_MAX_AGE", "KEYS_MAXAGE": "KEYS_MAX_AGE", "MAX_LOGIN": "MAX_LOGINS",
		"GET_QUERY": "GET_QUERIES", "PERSISTED_QUERIES": "PERSISTED_QUERIES_BYTES",
		"PERSISTED_QUERY_BYTES": "PERSISTED_QUERIES_BYTES",
		"MAX_BODY_SIZE":         "MAX_BODY_BYTES", "DOCUMENT_CACHE_SIZE": "DOCUMENT_CACHE_BYTES",
		"TOKEN_ALGORITHM":         "TOKEN_ALGORITHMS",
		"REQUEST_TIMEOUT_SECONDS": "REQUEST_TIMEOUT", "LIMIT_ALIAS": "LIMIT_ALIASES",
		"LIMIT_DEPHT": "LIMIT_DEPTH", "LOGIN_LIMIT_ACCOUNT": "LOGIN_ACCOUNT_LIMIT",
		"login_scope": "LOGIN_SCOPE", "CONSOL": "CONSOLE", "CLOAKQL_CORS_ORIGINS": "CORS_ORIGINS",
		"CLOAKQL_ADDR":           "ADDR",
		"KEYCLOAK_REALM":         "KEYCLOAK_REALM_NAME",
		"KEYCLOAK_CLIENT_SECRET": "KEYCLOAK_CLIENT_SECRET_KEY",
		"KEYCLOAK_AUDIENC":       "KEYCLOAK_AUDIENCE", "KEYCLOAK_ISSUERS": "KEYCLOAK_ISSUER",
		"KEYCLOAK_ADMIN_PASSWORD": "",
	} {
		if got := suggestSetting(name); got != want {
			t.Errorf("suggestSetting(%s) = %q, want %q", name, got, want)
		}
	}
	for _, name := range settingNames {
		if got := suggestSetting(name); got != "" {
			t.Errorf("suggestSetting(%s) = %q, want nothing, because it is a setting", name, got)
		}
		// Omit and double each letter, in names that are long enough.
		for i := range name {
			if len(name) < 8 {
				continue
			}
			for _, typo := range []string{name[:i] + name[i+1:],
				name[:i+1] + name[i:]} {
				if suggestSetting(typo) == "" && !slices.Contains(settingNames, typo) {
					t.Errorf("suggestSetting(%s) = \"\", want %s", typo, name)
				}
			}
		}
	}
}

// Read reports misspelt settings in the file and in the environment. It reports them as warnings if
// the settings have no problems, and in the error otherwise.
func TestRead_misspeltSettings(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".local.env"), []byte("REFRESH_GRACES=0\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	environ := slices.Concat(requiredSettings, []string{"TRUSTED_DOCUMENT=x.json", "PATH=/bin"})
	want := []string{
		"REFRESH_GRACES isn't a setting of this server and has no effect: did you mean " +
			"REFRESH_GRACE? (docs/settings.md)",
		"TRUSTED_DOCUMENT isn't a setting of this server and has no effect: did you mean " +
			"TRUSTED_DOCUMENTS? (docs/settings.md)",
	}
	s, err := Read(environ, dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Warnings, want) {
		t.Errorf("got the warnings %q, want %q", s.Warnings, want)
	}
	_, err = Read(append(environ, "REFRESH_GRACE=1h", "KEYCLOAK_REALM=shop",
		"KEYCLOAK_REALM_NAME="), dir)
	if err == nil {
		t.Fatal("Read() = nil, want an error")
	}
	for _, line := range append(want, "KEYCLOAK_REALM_NAME: is missing", "REFRESH_GRACE: is 1h",
		"KEYCLOAK_REALM isn't a setting of this server and has no effect: did you mean "+
			"KEYCLOAK_REALM_NAME?") {
		if !strings.Contains(err.Error(), "\n"+line) {
			t.Errorf("the error lacks the line %q:\n%v", line, err)
		}
	}
}

// Read warns about former settings in the environment and in the file.
func TestRead_removedSettings(t *testing.T) {
	var file strings.Builder
	environ := slices.Clone(requiredSettings)
	for i, name := range removedSettings {
		if i%2 == 0 {
			environ = append(environ, name+"=1")
		} else {
			file.WriteString(name + "=1\n")
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".local.env"), []byte(file.String()),
		0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Read(environ, dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Warnings) != len(removedSettings) {
		t.Errorf("got %d warnings, want %d", len(s.Warnings), len(removedSettings))
	}
	for i, warning := range s.Warnings {
		if !strings.HasPrefix(warning,
			removedSettings[i]+" is no longer a setting of this server and has no effect (") {
			t.Errorf("got the warning %q, want one about %s", warning, removedSettings[i])
		}
	}
}
