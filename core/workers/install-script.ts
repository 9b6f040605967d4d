/**
 * The script that a worker VM runs once, as a managed Run Command. Everything that changes comes as
 * parameters, which Azure hands to the script as environment variables [managed run command: named
 * `parameters` and `protectedParameters` are set in the script's environment]; the script's text is
 * constant, so that no value can become code. It downloads the agent's bundle, verifies size, MD5 and
 * SHA-256 before anything of it is executed, unpacks it and starts the agent. Running it again
 * replaces the agent that runs.
 */
export interface InstallParameters {
  readonly bundle: {
    readonly version: string;
    readonly sizeBytes: number;
    readonly sha256: string;
    readonly md5: string;
  };
  /** Settings of the agent that are not secret. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface InstallSecrets {
  readonly bundleUrl: string;
  readonly workerSecret: string;
}

/** The parameters of the Run Command, apart from the protected ones. */
export function installParametersOf(install: InstallParameters): Record<string, string> {
  return {
    HOLDFAST_BUNDLE_VERSION: install.bundle.version,
    HOLDFAST_BUNDLE_BYTES: String(install.bundle.sizeBytes),
    HOLDFAST_BUNDLE_SHA256: install.bundle.sha256,
    HOLDFAST_BUNDLE_MD5: install.bundle.md5,
    ...install.settings,
  };
}

/** Parameters that Azure never returns. */
export function installSecretsOf(secrets: InstallSecrets): Record<string, string> {
  return {
    HOLDFAST_BUNDLE_URL: secrets.bundleUrl,
    HOLDFAST_WORKER_SECRET: secrets.workerSecret,
  };
}

/** How long the script may take; the download of some 50 MiB is most of it. */
export const INSTALL_TIMEOUT_SECONDS = 900;

export const INSTALL_SCRIPT = String.raw`#!/bin/bash
# Installs and starts the Holdfast worker agent. Parameters arrive as environment variables.
set -euo pipefail
umask 077

root="${"${HOLDFAST_ROOT:-/opt/holdfast}"}"
: "${"${HOLDFAST_BUNDLE_URL:?}"}" "${"${HOLDFAST_BUNDLE_VERSION:?}"}" "${"${HOLDFAST_BUNDLE_BYTES:?}"}"
: "${"${HOLDFAST_BUNDLE_SHA256:?}"}" "${"${HOLDFAST_BUNDLE_MD5:?}"}" "${"${HOLDFAST_WORKER_SECRET:?}"}"
case "$HOLDFAST_BUNDLE_VERSION" in
  "" | *[!A-Za-z0-9._-]* | .*) echo "the version of the bundle is not a plain name" >&2; exit 1 ;;
esac

fail() { echo "holdfast install: $1" >&2; exit 1; }
started_by_us() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

mkdir -p "$root"
archive="$root/bundle.tar.gz.part"
staged="$root/.staged-$HOLDFAST_BUNDLE_VERSION"
trap 'rm -rf "$archive" "$staged"' EXIT

# The address is a secret: curl reads it from standard input, so that no process list shows it.
printf 'url = "%s"\n' "$HOLDFAST_BUNDLE_URL" |
  curl --config - --silent --show-error --fail --location --retry 5 --retry-delay 2 \
    --retry-connrefused --retry-all-errors --connect-timeout 20 --max-time 600 \
    --output "$archive" || fail "the bundle could not be downloaded"

size=$(stat -c %s "$archive")
[ "$size" = "$HOLDFAST_BUNDLE_BYTES" ] || fail "the bundle has $size bytes, not $HOLDFAST_BUNDLE_BYTES"
printf '%s  %s\n' "$HOLDFAST_BUNDLE_MD5" "$archive" | md5sum --check --status ||
  fail "the MD5 of the bundle is wrong"
printf '%s  %s\n' "$HOLDFAST_BUNDLE_SHA256" "$archive" | sha256sum --check --status ||
  fail "the SHA-256 of the bundle is wrong"

release="$root/$HOLDFAST_BUNDLE_VERSION"
rm -rf "$staged"
mkdir -p "$staged"
tar -xzf "$archive" -C "$staged" --no-same-owner
rm -rf "$release"
mv "$staged" "$release"
ln -sfn "$release" "$root/current"

# Values never hold line breaks: each line of the file is one setting, quoted for systemd and sh.
environment="$root/agent.env"
: > "$environment"
chmod 600 "$environment"
for name in HOLDFAST_WORKER_ID HOLDFAST_WORKER_SECRET HOLDFAST_WORKER_CLIENT_ID \
  HOLDFAST_JOB_QUEUE_URL HOLDFAST_EVENT_QUEUE_URL HOLDFAST_JOB_CONTAINER_URL \
  HOLDFAST_HEARTBEAT_SECONDS; do
  value="${"${!name:-}"}"
  case "$value" in
    *[\"\'\\\$\`]*) fail "the value of $name holds a character that is not allowed" ;;
    *$'\n'* | *$'\r'*) fail "the value of $name holds a line break" ;;
  esac
  printf '%s="%s"\n' "$name" "$value" >> "$environment"
done

if [ "$root" = /opt/holdfast ] && [ -d /run/systemd/system ]; then
  install -m 644 "$root/current/agent.service" /etc/systemd/system/holdfast-agent.service
  systemctl daemon-reload
  systemctl enable --quiet holdfast-agent.service
  systemctl restart holdfast-agent.service
  sleep 2
  systemctl is-active --quiet holdfast-agent.service || fail "the agent did not stay up"
  pid=$(systemctl show --property MainPID --value holdfast-agent.service)
else
  previous=$(cat "$root/agent.pid" 2>/dev/null || true)
  if started_by_us "$previous"; then kill "$previous" || true; fi
  set -a
  # shellcheck disable=SC1090
  . "$environment"
  set +a
  unset HOLDFAST_BUNDLE_URL
  setsid "$root/current/bin/node" --max-semi-space-size=4 "$root/current/lib/agent.mjs" \
    >> "$root/agent.log" 2>&1 < /dev/null &
  pid=$!
  echo "$pid" > "$root/agent.pid"
  sleep 1
  started_by_us "$pid" || fail "the agent did not stay up; see agent.log"
fi
echo "holdfast agent $HOLDFAST_BUNDLE_VERSION runs as process $pid"
`;
