#!/bin/sh
# Installs warren from a release: a directory or the address of one. Nothing is installed whose signature does not hold.
# docs/install.md explains it; sh install.sh --help lists the options.
set -eu
umask 022

# The public key of the builder, in base64 (DER): set when a signed release is made. --key overrides it.
RELEASE_KEY=''

usage() {
  cat <<'END'
Usage: sh install.sh [--from DIR|URL] [--key FILE] [--prefix DIR] [--root DIR] [--downgrade] [--dry-run]
       sh install.sh --uninstall [--purge] [--prefix DIR] [--root DIR] [--dry-run]

  --from DIR|URL  where SHA256SUMS and the files of the release are (default: the directory of this script)
  --key FILE      public key of the builder, in PEM, that you have from elsewhere
  --prefix DIR    where bin and share go (default: /usr/local; for a user who is not root: ~/.local)
  --root DIR      install below DIR, as into an image: no user is made, and nothing is started
  --downgrade     accept a version older than the one that is installed
  --dry-run       verify, and say what would be done
  --uninstall     remove what was installed; changed settings, keys and state stay
  --purge         with --uninstall: remove settings, keys, state and user as well
END
}

say() { printf 'install.sh: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

from=$(dirname "$0") key='' prefix='' root='' dry='' uninstall='' purge='' downgrade=''
while [ $# -gt 0 ]; do
  case $1 in
    --from | --key | --prefix | --root)
      if [ $# -lt 2 ] || [ -z "$2" ]; then fail "$1 needs a value; see --help"; fi
      case $1 in
        --from) from=$2 ;;
        --key) key=$2 ;;
        --prefix) prefix=$2 ;;
        --root) root=${2%/} ;;
      esac
      shift
      ;;
    --dry-run) dry=yes ;;
    --downgrade) downgrade=yes ;;
    --uninstall) uninstall=yes ;;
    --purge) purge=yes ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) fail "unknown option $1; see --help" ;;
  esac
  shift
done
[ -z "$purge" ] || [ -n "$uninstall" ] || fail '--purge goes with --uninstall'

user=$(id -u)
if [ "$user" = 0 ] || [ -n "$root" ]; then
  scope=system
  prefix=${prefix:-/usr/local}
  units=/etc/systemd/system settings=/etc/warren state=/var/lib/warren
else
  scope=user
  [ -n "${HOME-}" ] || fail 'HOME is not set; give --prefix as root, or set it'
  prefix=${prefix:-$HOME/.local}
  units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
  settings=${XDG_CONFIG_HOME:-$HOME/.config}/warren
  state=${XDG_STATE_HOME:-$HOME/.local/state}/warren
fi
case $prefix in
  /*) prefix=${prefix%/} ;;
  *) fail "--prefix must begin with /, and is $prefix" ;;
esac
case $prefix in
  *[!A-Za-z0-9/._+-]*) fail "--prefix has a character that units cannot name: $prefix" ;;
esac
manifest=$prefix/share/warren/manifest
manager=systemctl
[ "$scope" = system ] || manager='systemctl --user'
# Called only where this is the machine that it serves.
live=''
if [ -z "$root" ]; then
  if [ "$scope" = user ]; then
    if [ -n "${XDG_RUNTIME_DIR-}" ] && [ -d "${XDG_RUNTIME_DIR-}/systemd" ]; then live=$manager; fi
  elif [ -d /run/systemd/system ]; then
    live=$manager
  fi
fi

# Says what it does, and does it unless this is a dry run.
act() {
  say "${dry:+would: }$*"
  [ -n "$dry" ] || "$@"
}

sum_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# Lines of the manifest: version - VERSION, file SHA256 PATH, conf SHA256 PATH, dir - PATH, user - NAME.
in_manifest() { # KIND PATH: the sum that it has there
  [ -f "$root$manifest" ] || return 0
  while read -r kind sum path; do
    if [ "$kind" = "$1" ] && [ "$path" = "$2" ]; then printf '%s\n' "$sum"; fi
  done <"$root$manifest"
}

service() { # VERB...: a failure of it ends nothing, since the files are what counts
  [ -n "$live" ] || return 0
  # shellcheck disable=SC2086 # two words for a user
  act $live "$@" || say "failed: $live $*"
}

# ---- removal -------------------------------------------------------------------------------------------------------------

remove_all() {
  [ -f "$root$manifest" ] || fail "nothing was installed below ${root}$prefix: there is no $root$manifest"
  service disable --now warren.service
  while read -r kind sum path; do
    case $kind in
      file) [ ! -e "$root$path" ] || act rm -f "$root$path" ;;
      conf)
        if [ ! -e "$root$path" ]; then
          :
        elif [ -n "$purge" ] || [ "$(sum_of "$root$path")" = "$sum" ]; then
          act rm -f "$root$path"
        else
          say "$root$path was changed and stays"
        fi
        ;;
    esac
  done <"$root$manifest"
  if [ -n "$purge" ]; then
    [ ! -d "$root$state" ] || act rm -rf "$root$state"
    [ ! -d "$root$settings" ] || act rm -rf "$root$settings"
  fi
  made_user=$(in_manifest user warren)
  made=$(sed -n 's/^dir - //p' "$root$manifest" | sort -r)
  act rm -f "$root$manifest"
  # Directories that were made, the inner ones first; one that has something else in it stays.
  printf '%s\n' "$made" | while read -r path; do
    if [ -n "$dry" ] || [ -z "$path" ]; then continue; fi
    rmdir "$root$path" 2>/dev/null || true
  done
  service daemon-reload
  if [ -n "$purge" ] && [ -n "$made_user" ]; then
    act userdel warren || say 'the user warren stays'
  fi
  if [ -z "$purge" ] && [ -d "$root$state" ]; then
    say "the state and keys of this host stay in $root$state; --uninstall --purge, or rm -r, deletes them"
  fi
}

if [ -n "$uninstall" ]; then
  remove_all
  exit 0
fi

# ---- verification --------------------------------------------------------------------------------------------------------

for tool in openssl tar gzip sha256sum awk; do
  command -v "$tool" >/dev/null || fail "$tool is missing; install it and run this again"
done
case $(uname -s)/$(uname -m) in
  Linux/x86_64) arch=x64 ;;
  Linux/aarch64 | Linux/arm64) arch=arm64 ;;
  *) fail "no executable is made for $(uname -s) on $(uname -m)" ;;
esac

work=$(mktemp -d)
fresh=''
trap 'rm -rf "$work"; [ -z "$fresh" ] || rm -f "$fresh"' EXIT
trap 'exit 1' HUP INT TERM

# All files are copied first, and verified and used there: whoever can change the source cannot exchange them in between.
fetch() { # NAME
  case $from in
    http://* | https://*)
      if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --max-filesize 500000000 --output "$work/$1" "${from%/}/$1"
      elif command -v wget >/dev/null; then
        wget -q -O "$work/$1" "${from%/}/$1"
      else
        fail 'curl or wget is missing; install one, or download the release and give its directory as --from'
      fi
      ;;
    *) cp "$from/$1" "$work/$1" ;;
  esac || fail "$1 cannot be read from $from; nothing was installed"
}

if [ -n "$key" ]; then
  cp "$key" "$work/key" || fail "the key $key cannot be read"
elif [ -n "$RELEASE_KEY" ]; then
  printf '%s\n' '-----BEGIN PUBLIC KEY-----' "$RELEASE_KEY" '-----END PUBLIC KEY-----' >"$work/key"
else
  fail 'no key: give the public key of the builder as --key FILE'
fi
openssl pkey -pubin -in "$work/key" -noout -text 2>/dev/null | grep -qi '^ED25519' ||
  fail "${key:-the key in this script} is no public Ed25519 key in PEM; nothing was installed"

fetch SHA256SUMS
fetch SHA256SUMS.sig
openssl pkeyutl -verify -pubin -inkey "$work/key" -rawin -in "$work/SHA256SUMS" -sigfile "$work/SHA256SUMS.sig" \
  >"$work/openssl" 2>&1 || {
  if grep -qi 'unknown option\|unrecognized flag' "$work/openssl"; then
    fail 'this openssl verifies no Ed25519 signatures of files; it must be 3.0 or later'
  fi
  fail 'SHA256SUMS is not signed by this key: the release was changed, or is of another builder. Nothing was installed'
}

# Exactly one archive for this machine.
wanted=$(awk -v arch="$arch" '
  NF == 2 && length($1) == 64 && $2 ~ ("^warren-[0-9][A-Za-z0-9.+~-]*-linux-" arch "[.]tar[.]gz$") { print $1, $2 }
' "$work/SHA256SUMS")
[ -n "$wanted" ] || fail "SHA256SUMS names no archive for $arch"
[ "$(printf '%s\n' "$wanted" | wc -l)" -eq 1 ] || fail "SHA256SUMS names more than one archive for $arch"
sum=${wanted%% *} archive=${wanted#* }
version=${archive#warren-} version=${version%"-linux-$arch.tar.gz"}

fetch "$archive"
[ "$(sum_of "$work/$archive")" = "$sum" ] || fail "$archive is not what SHA256SUMS names. Nothing was installed"
say "verified: $archive"
mkdir "$work/unpacked"
tar -xzf "$work/$archive" -C "$work/unpacked" --no-same-owner
new=$work/unpacked/${archive%.tar.gz}
[ -f "$new/bin/warren" ] || fail "$archive has no bin/warren"

# A release that was signed once is valid for ever: a mirror must not bring back the faults of an old one.
if [ -x "$root$prefix/bin/warren" ] && [ -z "$downgrade" ] && [ -f "$root$manifest" ]; then
  installed=$(sed -n 's/^version - //p' "$root$manifest")
  # 1.0.0-rc.1 comes before 1.0.0: sort knows that of ~ alone.
  newest=$(printf '%s\n%s\n' "$installed" "$version" | sed 's/-/~/' | sort -V | tail -n 1)
  [ -z "$installed" ] || [ "$newest" = "$(printf '%s\n' "$version" | sed 's/-/~/')" ] ||
    fail "$version is older than $installed, which is installed; --downgrade accepts it. Nothing was installed"
fi

# ---- installation --------------------------------------------------------------------------------------------------------

# The plan: KIND MODE SOURCE<tab>PATH, one a line.
plan=$work/plan
{
  printf 'file 755 %s\t%s\n' "$new/bin/warren" "$prefix/bin/warren"
  if [ "$scope" = system ]; then
    printf 'file 644 %s\t%s\n' "$new/systemd/warren.service" "$units/warren.service"
    printf 'file 644 %s\t%s\n' "$new/systemd/warren-user.service" /etc/systemd/user/warren.service
    printf 'file 644 %s\t%s\n' "$new/systemd/warren.sysusers" /etc/sysusers.d/warren.conf
  else
    printf 'file 644 %s\t%s\n' "$new/systemd/warren-user.service" "$units/warren.service"
  fi
  printf 'conf 600 %s\t%s\n' "$new/etc/warren.env" "$settings/warren.env"
  printf 'conf 644 %s\t%s\n' "$new/etc/warren.yaml" "$settings/warren.yaml"
  for text in LICENSE THIRD-PARTY-LICENSES.txt; do
    printf 'file 644 %s\t%s\n' "$new/$text" "$prefix/share/doc/warren/$text"
  done
  # All pages, since they lead to one another.
  find "$new/docs" -type f | sort | while read -r path; do
    printf 'file 644 %s\t%s\n' "$path" "$prefix/share/doc/warren/${path#"$new/docs/"}"
  done
  [ ! -d "$new/share" ] || find "$new/share" -type f | sort | while read -r path; do
    printf 'file 644 %s\t%s\n' "$path" "$prefix/share/${path#"$new/share/"}"
  done
} >"$plan"

# Units name the place of a checkout.
for unit in "$new"/systemd/*.service; do
  sed "s|/usr/local/bin/warren|$prefix/bin/warren|; s|/usr/local/lib/node_modules/warren/docs/install.md|$prefix/share/doc/warren/install.md|" \
    "$unit" >"$unit.placed"
  mv "$unit.placed" "$unit"
done

directories() { # the directory of each path, and those above it, once
  {
    cut -f 2 "$plan"
    printf '%s\n' "$settings/conf.d/." "$manifest"
  } | while read -r path; do
    while path=$(dirname "$path") && [ "$path" != / ] && [ "$path" != . ]; do printf '%s\n' "$path"; done
  done | sort -u
}

{
  printf 'version - %s\n' "$version"
  directories | while read -r path; do
    if [ ! -d "$root$path" ] || [ -n "$(in_manifest dir "$path")" ]; then printf 'dir - %s\n' "$path"; fi
  done
  while IFS='	' read -r what path; do
    source=${what#* * }
    printf '%s %s %s\n' "${what%% *}" "$(sum_of "$source")" "$path"
  done <"$plan"
} >"$work/manifest"
if [ "$scope" = system ] && [ -z "$root" ]; then
  if [ -n "$(in_manifest user warren)" ] || ! id -u warren >/dev/null 2>&1; then
    printf 'user - warren\n' >>"$work/manifest"
  fi
fi

place() { # MODE SOURCE PATH: by one rename, so that the path has the old file or the new one
  if [ -f "$3" ] && [ "$(sum_of "$2")" = "$(sum_of "$3")" ]; then return; fi
  say "${dry:+would: }install $3"
  [ -z "$dry" ] || return 0
  fresh=$3.new.$$
  cp "$2" "$fresh"
  chmod "$1" "$fresh"
  mv -f "$fresh" "$3"
  fresh=''
}

directories >"$work/directories"
while read -r path; do
  [ -d "$root$path" ] || act mkdir -p "$root$path"
done <"$work/directories"

# Before anything is replaced. Where it will be: no program may run from some temporary directories.
if [ -z "$dry" ] && [ -z "$root" ]; then
  fresh=$prefix/bin/warren.new.$$
  cp "$new/bin/warren" "$fresh"
  chmod 755 "$fresh"
  "$fresh" --version >/dev/null 2>"$work/said" || fail "this executable does not run here: $(cat "$work/said")
install.sh: it needs glibc 2.28 or later, libatomic.so.1 and libstdc++.so.6 (apt-get install libatomic1 libstdc++6). Nothing was installed"
  rm -f "$fresh"
  fresh=''
fi

# The manifest comes first: whatever happens from here on can be undone.
if [ -f "$root$manifest" ]; then cp "$root$manifest" "$work/old"; else : >"$work/old"; fi
place 644 "$work/manifest" "$root$manifest"
cut -f 2 "$plan" >"$work/paths"
while IFS='	' read -r what path; do
  kind=${what%% *} rest=${what#* }
  mode=${rest%% *} source=${rest#* }
  if [ "$kind" = conf ] && [ -e "$root$path" ]; then
    # What a person changed stays.
    grep -qxF "conf $(sum_of "$root$path") $path" "$work/old" || continue
  fi
  place "$mode" "$source" "$root$path"
done <"$plan"
# What only the former version had.
while read -r kind sum path; do
  if [ "$kind" = file ] && [ -e "$root$path" ] && ! grep -qxF "$path" "$work/paths"; then act rm -f "$root$path"; fi
done <"$work/old"

if grep -q '^user ' "$work/manifest" && ! id -u warren >/dev/null 2>&1; then
  if command -v systemd-sysusers >/dev/null; then
    act systemd-sysusers /etc/sysusers.d/warren.conf
  else
    act useradd --system --user-group --no-create-home --home-dir "$state" --shell /usr/sbin/nologin warren
  fi
fi
service daemon-reload
# A newer version takes over now; an agent that was never started is not started, since it has no mesh yet.
service try-restart warren.service
[ -n "$dry" ] ||
  say "installed warren $version; found or join a mesh in $root$settings/warren.env, then: $manager enable --now warren"
