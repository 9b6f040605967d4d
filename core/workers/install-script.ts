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
  /** Mirror of the archive of Ubuntu; security updates are off without one. */
  readonly updateMirrorUrl?: string | undefined;
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
    ...(install.updateMirrorUrl === undefined
      ? {}
      : { HOLDFAST_UPDATE_MIRROR: install.updateMirrorUrl }),
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

# What a gallery image holds is seen here only.
os_release="${"${HOLDFAST_OS_RELEASE:-/etc/os-release}"}"
if { [ "$root" = /opt/holdfast ] && [ -d /run/systemd/system ]; } || [ -n "${"${HOLDFAST_OS_RELEASE:-}"}" ]; then
  system=$(ID=; VERSION_ID=; . "$os_release" && echo "$ID $VERSION_ID $(uname -m)")
  case "$system" in
    "ubuntu 22.04 x86_64" | "ubuntu 24.04 x86_64") ;;
    *) fail "this image is $system; workers need Ubuntu 22.04 or 24.04 LTS on x86_64" ;;
  esac
fi

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
# The agent runs as a user without a name: it reads the bundle, never the file with the secret.
chmod -R u=rwX,go=rX "$staged"
chmod 755 "$root"
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

# Security updates come from the operator's mirror or not at all: a timer that waits for an archive
# that cannot be reached keeps the disk busy and the lock of dpkg held. Nothing is fetched here.
configure_updates() {
  apt="${"${HOLDFAST_APT:-/etc/apt}"}"
  mkdir -p "$apt/sources.list.d" "$apt/apt.conf.d"
  codename=$(. "$os_release" && echo "$VERSION_CODENAME")
  rm -f "$apt/sources.list" "$apt/sources.list.d"/*.list "$apt/sources.list.d"/*.sources
  printf 'Types: deb
URIs: %s
Suites: %s
Components: main universe
Signed-By: %s
'     "$HOLDFAST_UPDATE_MIRROR" "$codename $codename-updates $codename-security"     /usr/share/keyrings/ubuntu-archive-keyring.gpg > "$apt/sources.list.d/holdfast.sources"
  cat > "$apt/apt.conf.d/99holdfast-updates" <<'APT'
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
#clear Unattended-Upgrade::Allowed-Origins;
Unattended-Upgrade::Allowed-Origins { "${"${distro_id}:${distro_codename}-security"}"; };
Unattended-Upgrade::Automatic-Reboot "false";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT
  chmod 644 "$apt/sources.list.d/holdfast.sources" "$apt/apt.conf.d/99holdfast-updates"
}
updates="apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service"
if [ -n "${"${HOLDFAST_UPDATE_MIRROR:-}"}" ]; then
  case "$HOLDFAST_UPDATE_MIRROR" in
    http://* | https://*) ;;
    *) fail "the mirror for updates is no URL" ;;
  esac
  case "$HOLDFAST_UPDATE_MIRROR" in
    *[!A-Za-z0-9.:/_~-]*) fail "the mirror for updates is no plain URL" ;;
  esac
fi

if [ "$root" = /opt/holdfast ] && [ -d /run/systemd/system ]; then
  if [ -n "${"${HOLDFAST_UPDATE_MIRROR:-}"}" ]; then
    # Updates are never worth a worker: what fails here is told and the agent starts all the same.
    if configure_updates; then
      systemctl unmask --quiet $updates || true
      systemctl start --no-block $updates || true
    else
      echo "holdfast install: security updates could not be configured" >&2
    fi
  else
    systemctl mask --quiet --now $updates || true
  fi
  install -m 644 "$root/current/agent.service" /etc/systemd/system/holdfast-agent.service
  systemctl daemon-reload
  # Not enabled: a VM that is started again gets its agent anew, with another secret.
  systemctl restart holdfast-agent.service
  sleep 2
  systemctl is-active --quiet holdfast-agent.service || fail "the agent did not stay up"
  pid=$(systemctl show --property MainPID --value holdfast-agent.service)
else
  # No systemd: a container, or a test that names the folder of apt.
  if [ -n "${"${HOLDFAST_UPDATE_MIRROR:-}"}" ] && [ -n "${"${HOLDFAST_APT:-}"}" ]; then configure_updates; fi
  previous=$(cat "$root/agent.pid" 2>/dev/null || true)
  if started_by_us "$previous"; then kill "$previous" || true; fi
  set -a
  # shellcheck disable=SC1090
  . "$environment"
  set +a
  unset HOLDFAST_BUNDLE_URL
  MALLOC_ARENA_MAX=2 setsid "$root/current/bin/node" --max-semi-space-size=4 "$root/current/lib/agent.mjs" \
    >> "$root/agent.log" 2>&1 < /dev/null &
  pid=$!
  echo "$pid" > "$root/agent.pid"
  sleep 1
  started_by_us "$pid" || fail "the agent did not stay up; see agent.log"
fi
echo "holdfast agent $HOLDFAST_BUNDLE_VERSION runs as process $pid"
`;
