#!/usr/bin/env bash
# Brings what is missing on this machine, and nothing that is there: setup.sh WHAT…
#   ui       Node, and the npm packages of ui/
#   build    Rust, and the libraries that the window is built on
#   check    rustfmt, clippy, cargo-deny and python3
#   display  a virtual display to open the window on, and what takes its picture
#   test     cargo-nextest, and the programs that the tests use
# Rust and Node themselves it only asks for: how they come here is the person's own choice.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

node_wanted=20.19.0
build_packages=(build-essential pkg-config libdbus-1-dev libwebkit2gtk-4.1-dev libayatana-appindicator3-dev)
check_packages=(python3)
display_packages=(xvfb dbus xdotool imagemagick fonts-dejavu-core fonts-noto-cjk fonts-noto-color-emoji)
test_packages=(at-spi2-core webkit2gtk-driver xauth x11-utils xterm dunst libnotify-bin strace openssh-client openssh-server python3)

require_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  if ! has cargo || ! has rustc; then
    fail "Rust is missing: install Rust $wanted or newer (cargo and rustc) with rustup, see https://rustup.rs" \
      "then open a new shell and run the same command again"
  fi
  found=$(rustc --version | cut -d ' ' -f 2)
  at_least "$wanted" "${found%%-*}" || fail "Rust $found is too old: Nod needs Rust $wanted or newer; run: rustup update stable"
}

require_node() {
  local found
  has node || fail "Node is missing: install Node.js $node_wanted or newer (20 LTS will do; npm comes with it), see https://nodejs.org" \
    "then open a new shell and run the same command again"
  found=$(node --version)
  at_least "$node_wanted" "${found#v}" || fail "Node ${found#v} is too old: Nod needs Node.js $node_wanted or newer, see https://nodejs.org"
  has npm || fail "npm is missing: it comes with Node.js $node_wanted from https://nodejs.org; on Debian's own Node: apt-get install npm"
}

require_components() {
  local missing=()
  cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
  cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
  [ ${#missing[@]} -eq 0 ] || fail "Rust's ${missing[*]} is missing; run: rustup component add ${missing[*]}"
}

# is_installed PACKAGE: whether dpkg holds it, wholly unpacked and configured.
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

system_packages() {
  local package missing=()
  if ! has apt-get || ! has dpkg-query; then
    if [ "$(uname -s)" = Linux ]; then say "no apt-get here: see to it that what Debian calls these is there: $*"; fi
    return 0
  fi
  for package in "$@"; do is_installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  install_packages "${missing[@]}"
}

install_packages() {
  local options=(-y --no-install-recommends -o DPkg::Lock::Timeout=300)
  local line="sudo sh -c 'apt-get update; apt-get install ${options[*]} $*'"
  if [ "$(id -u)" -eq 0 ]; then
    say "installing $*"
    as_root() { "$@"; }
  elif may_ask && has sudo; then
    say "these system packages are missing: $*"
    say "this line installs them:"
    say "  $line"
    read -r -p "nod: run it now? [y/N] " answer
    case $answer in [yY]*) ;; *) fail "nothing was installed" ;; esac
    as_root() { sudo "$@"; }
  else
    fail "these system packages are missing: $*" "install them, then run the same command again:" "  $line"
  fi
  # Lists that are a little old still serve, so a failed update is not the end.
  as_root apt-get update || say "apt-get update failed; going on with the lists that are here"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@"
}

# may_ask: whether a person sits there to answer.
may_ask() { [ -t 0 ] && [ -t 2 ]; }

# The stamp lies inside node_modules, so that it goes when they go.
npm_packages() {
  local stamp=ui/node_modules/.nod-package-lock.json
  if cmp -s ui/package-lock.json "$stamp"; then return 0; fi
  say "installing the npm packages of ui/"
  npm --prefix ui ci --no-audit --no-fund
  cp ui/package-lock.json "$stamp"
}

# cargo_tool NAME VERSION: installs a cargo subcommand from source where there is none of that version.
cargo_tool() {
  local found
  found=$(cargo "${1#cargo-}" --version 2>/dev/null | head -n 1 | cut -d ' ' -f 2) || true
  case $found in "$2" | "$2".*) return 0 ;; esac
  say "installing $1 $2 (compiles for some minutes, once)"
  cargo install --locked --force "$1" --version "^$2"
}

packages=()
for what in "$@"; do
  case $what in
    ui) require_node ;;
    build)
      require_rust
      packages+=("${build_packages[@]}")
      ;;
    check)
      require_rust
      require_components
      packages+=("${check_packages[@]}")
      ;;
    display) packages+=("${display_packages[@]}") ;;
    test)
      require_rust
      packages+=("${test_packages[@]}")
      ;;
    *) fail "setup.sh knows no '$what'" ;;
  esac
done
# Nothing was installed so far: a machine without Rust or Node is told so at once.
system_packages ${packages[@]+"${packages[@]}"}
for what in "$@"; do
  case $what in
    ui) npm_packages ;;
    check) cargo_tool cargo-deny 0.20 ;;
    test) cargo_tool cargo-nextest 0.9 ;;
  esac
done
