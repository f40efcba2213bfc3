#!/usr/bin/env bash
# Linux: TCP_WINDOW_CLAMP does not stay where it was set.
#
# Expected: tcp(7) says "Bound the size of the advertised window to this value". So a connection with a clamp of 128 KiB has at
# most that much under way to a reader that does not read, and whoever keeps that much can send again whatever a lost connection
# had not delivered.
# Seen: the kernel tunes the receive buffer of a connection that is read fast, and raises the clamp along with it, beyond what was
# set and up to what `net.ipv4.tcp_rmem` allows; getsockopt shows it. Then the reader's kernel takes several times 128 KiB that
# nobody reads. SO_RCVBUF set beforehand stops the growth at its own, doubled size, but raises the clamp to that as well.
#
# Version: Linux 6.18, net.ipv4.tcp_moderate_rcvbuf=1 and net.ipv4.tcp_rmem with a third number above 1 MiB, as is the default;
# Python 3 makes the calls. Needs no network and no package. Fails if what is seen changes.
set -euo pipefail
uname -r
[ "$(cat /proc/sys/net/ipv4/tcp_moderate_rcvbuf)" = 1 ] || { echo 'buffers are not tuned here' >&2; exit 1; }
python3 - <<'PY'
import array, fcntl, select, socket, termios

CLAMP = 128 * 1024
MOVED = 512 * 1024 * 1024


def run(buffer_bytes=None):
    listener = socket.create_server(('127.0.0.1', 0))
    sender = socket.create_connection(listener.getsockname())
    reader, _ = listener.accept()
    if buffer_bytes is not None:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, CLAMP)
    sender.setblocking(False)
    reader.setblocking(False)
    piece = bytes(256 * 1024)
    moved = 0
    while moved < MOVED:
        readable, writable, _ = select.select([reader], [sender], [])
        if writable:
            sender.send(piece)
        if readable:
            moved += len(reader.recv(4 * 1024 * 1024))
    # From here on nobody reads: until nothing more leaves, neither to the reader nor to the sender's own buffer.
    while select.select([], [sender], [], 1)[1]:
        sender.send(piece)
    unread = array.array('i', [0])
    fcntl.ioctl(reader, termios.FIONREAD, unread)
    return reader.getsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP), unread[0]


clamp, unread = run()
print(f'set to {CLAMP}: the clamp is {clamp} now, and {unread} bytes lie at the reader unread')
fixed, fixed_unread = run(256 * 1024)
print(f'with SO_RCVBUF of 256 KiB: the clamp is {fixed} now, and {fixed_unread} bytes lie at the reader unread')
assert clamp > 2 * CLAMP and unread > 2 * CLAMP, 'the clamp holds'
assert CLAMP < fixed <= 512 * 1024, 'another clamp with SO_RCVBUF'
PY
