#!/usr/bin/env bash
# plain-account.sh COMMAND…: runs it where the account's home is an empty folder, if that may be done
# here. What the profile of this machine's person does at a login, and how long it takes, is no part
# of a test; and a login shell that a test kills cannot leave a lock in the person's own home.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Only root may lay a file over another one without becoming somebody else by it.
if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then exec "$@"; fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/nod-account.XXXXXX")
# This process becomes the command, so that a signal reaches just that, and its end is the command's.
# Another one removes the folder then, whatever it was that ended the command.
(
  trap '' HUP INT TERM
  tail --pid=$$ -f /dev/null
  rm -rf "$folder"
) </dev/null >/dev/null 2>&1 &

mkdir "$folder/home"
awk -F : -v OFS=: -v home="$folder/home" '$3 == 0 { $6 = home } { print }' /etc/passwd >"$folder/passwd"
# shellcheck disable=SC2016 # expanded by the inner shell
exec unshare -m --propagation private \
  sh -c 'mount --bind "$0" /etc/passwd && exec "$@"' "$folder/passwd" "$@"
