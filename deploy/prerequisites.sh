# shellcheck shell=bash
# Sourced by `deploy/up` and `deploy/test`: finds out what this machine lacks and, where it may, installs it.
#
# Every check asks for the thing itself (a header, a program and its version) rather than for a package, so that
# a PostgreSQL or a JDK that came another way is as good as Debian's.

missing_packages=()

need() { # need PACKAGE CHECK…: the package is missing when the check fails
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing_packages+=("$package")
}

has_initdb() { command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb'; }
has_java_17() {
  local version
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p;T;q') && [[ -n $version && $version -ge 17 ]]
}
has_pdeathsig() { setpriv --pdeathsig keep true; }
has_venv() { /usr/bin/python3 -c 'import ensurepip, venv'; }

check_platform() {
  need postgresql has_initdb
  need openjdk-17-jre-headless has_java_17
  need maven command -v mvn
  need gcc command -v cc
  need g++ command -v c++
  need make command -v make
  need pkg-config command -v pkg-config
  need libssl-dev pkg-config --exists openssl
  need openssl command -v openssl
  need curl command -v curl
  need util-linux has_pdeathsig
}

check_tests() {
  need chromium command -v chromium
  need chromium-driver command -v chromedriver
  need python3-venv has_venv
}

# Rust is named, not installed: which toolchain manager a person uses is theirs to choose.
require_rust() {
  [[ -d ${HOME:-}/.cargo/bin ]] && PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null && return
  cat >&2 <<'TEXT'
Rust is missing. Install it for this user, open a new shell, and run this again:

    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh

rustup then fetches the toolchain that rust-toolchain.toml names by itself.
TEXT
  return 1
}

install_missing() {
  [[ ${#missing_packages[@]} -eq 0 ]] && return
  local install=(apt-get install -y --no-install-recommends "${missing_packages[@]}") as_root=()
  if [[ ! -e /etc/debian_version ]]; then
    printf 'This machine lacks what these Debian packages hold; install their like, and run this again:\n\n    %s\n\n' \
      "${missing_packages[*]}" >&2
    return 1
  fi
  if [[ $EUID -ne 0 ]]; then
    # With a terminal sudo may ask for a password; without one it must not.
    if ! command -v sudo >/dev/null || { [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; }; then
      printf 'Some packages are missing, and this user may not install them. Run this as root, then run me again:\n\n    apt-get update && %s\n\n' \
        "${install[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  printf 'Installing: %s\n' "${missing_packages[*]}"
  "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}"
}
