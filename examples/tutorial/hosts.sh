#!/bin/sh
# Three hosts for docs/tutorial.md on one machine: a and b on one network, c behind a NAT. Each has its own network, host name,
# /run, /tmp and /var/lib, which are gone with it. Needs root, iproute2, nftables and util-linux.
#
#   hosts.sh up      makes them            hosts.sh down    removes them, with all that runs on them
set -eu

repository=$(cd "$(dirname "$0")/../.." && pwd)
# Holds the pid of a process for each host, and nothing else.
directory=${WARREN_TUTORIAL:-/run/warren-tutorial}
PATH=$PATH:/usr/sbin:/sbin

fail() {
  echo "hosts.sh: $1" >&2
  exit 1
}

# A process that holds the namespaces of $1, a host or a part of the network, also when this terminal is closed.
hold() {
  setsid unshare --net --mount --uts --pid --fork --kill-child --mount-proc sleep infinity </dev/null >/dev/null 2>&1 &
  # The namespaces are those of the child that `unshare` makes.
  until [ -n "$(cat "/proc/$!/task/$!/children" 2>/dev/null)" ]; do
    kill -0 $! 2>/dev/null || fail 'this machine lets nobody make namespaces'
  done
  tr -d ' ' <"/proc/$!/task/$!/children" >"$directory/$1"
  nsenter --target "$(cat "$directory/$1")" --uts hostname "$1"
  net "$1" ip link set lo up
}

# A command in the network of $1.
net() {
  target=$(cat "$directory/$1")
  shift
  nsenter --target "$target" --net -- "$@"
}

# The directories that a host of its own would have, and the checkout at /opt/warren, where every user may enter.
furnish() {
  nsenter --target "$(cat "$directory/$1")" --mount -- sh -eu -s "$repository" <<'HOST'
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mkdir /mnt/warren /mnt/bin
    # Entry by entry: a clone that only root may enter, as in /root, stays so, and its users here can enter all the same.
    for entry in "$1"/* "$1"/.[!.]*; do
      [ -e "$entry" ] || continue
      place=/mnt/warren/${entry##*/}
      if [ -d "$entry" ]; then mkdir "$place"; else : >"$place"; fi
      mount --bind "$entry" "$place"
    done
    printf '#!/bin/sh\nexec /opt/warren/bin/warren.js "$@"\n' >/mnt/bin/warren
    printf '#!/bin/sh\nexec /opt/warren/node_modules/.bin/node "$@"\n' >/mnt/bin/node
    chmod 755 /mnt/bin/*
    mount --move /mnt /opt
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=755 tmpfs /var/lib
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    setpriv --reuid 65534 --regid 65534 --clear-groups -- test -r /opt/warren/src/cli/program.ts || exit 3
HOST
}

# link HOST ADDRESS/BITS PART PORT: the host's eth0, and its other end in a part of the network.
link() {
  net "$3" ip link add "$4" type veth peer name eth0 netns "$(cat "$directory/$1")"
  net "$1" ip addr add "$2" dev eth0
  net "$1" ip link set eth0 up
}

up() {
  [ "$(id -u)" = 0 ] || fail 'needs root, for network namespaces'
  for command in ip nft unshare nsenter setpriv setsid; do
    command -v $command >/dev/null || fail "needs $command, which is not installed"
  done
  [ ! -e "$directory" ] || fail "the hosts exist already: $0 down removes them"
  mkdir -m 700 "$directory"
  trap down EXIT
  for name in a b c nat net; do hold $name; done
  for name in a b c; do
    furnish $name || fail "the users of a host cannot read this clone: chmod -R go+rX $repository"
  done

  # The network between a, b and the outside of the NAT.
  net net ip link add br0 type bridge
  net net ip link set br0 up
  link a 192.0.2.1/24 net to-a
  link b 192.0.2.2/24 net to-b
  link nat 192.0.2.3/24 net to-nat
  for port in to-a to-b to-nat; do net net ip link set $port master br0 up; done

  # The network of c alone. What c begins passes with the address of the NAT; what others begin does not pass.
  link c 10.0.0.2/24 nat to-c
  net nat ip addr add 10.0.0.1/24 dev to-c
  net nat ip link set to-c up
  net nat sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  net nat nft -f - <<'NAT'
    table ip nat {
      chain leave { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }
      chain pass {
        type filter hook forward priority filter; policy drop;
        iifname "to-c" accept
        ct state established,related accept
      }
    }
NAT
  # Without a route, what is sent into the network of c would fail at once; on the internet it is lost.
  net a ip route add default via 192.0.2.3
  net b ip route add default via 192.0.2.3
  net c ip route add default via 10.0.0.1
  trap - EXIT
  echo "a 192.0.2.1, b 192.0.2.2, c 10.0.0.2 behind the NAT 192.0.2.3"
}

down() {
  [ -d "$directory" ] || fail 'there are no hosts'
  for file in "$directory"/*; do
    [ ! -f "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null || true
  done
  rm -r "$directory"
}

case ${1-} in
  up | down) "$1" ;;
  *) fail 'say up or down' ;;
esac
