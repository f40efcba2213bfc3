package warren

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// MaxDatagramBytes is the largest datagram: the maximum of UDP over IPv4.
const MaxDatagramBytes = 65_507

// DatagramConn is a flow of datagrams with one other workload: a net.Conn whose Read and Write carry one datagram each.
//
// Boundaries are kept; order and arrival are not guaranteed. A flow without a datagram for two minutes ends.
type DatagramConn struct {
	conn    *Conn
	reading sync.Mutex
	reader  *bufio.Reader
	writing sync.Mutex
	buffer  []byte
}

func newDatagramConn(conn *Conn) *DatagramConn {
	return &DatagramConn{conn: conn, reader: bufio.NewReaderSize(conn, 2+65_535)}
}

// Peer is the workload at the other end.
func (d *DatagramConn) Peer() Peer { return d.conn.peer }

// Read reads one datagram; what does not fit into data is lost, as with UDP. io.EOF once the other end sends no more;
// FLOW_CUT if the flow is cut.
func (d *DatagramConn) Read(data []byte) (int, error) {
	d.reading.Lock()
	defer d.reading.Unlock()
	// Nothing is taken before all of it is there, so that a deadline loses nothing.
	header, err := d.reader.Peek(2)
	if err != nil {
		return 0, d.failure(err)
	}
	size := int(binary.BigEndian.Uint16(header))
	whole, err := d.reader.Peek(2 + size)
	if err != nil {
		return 0, d.failure(err)
	}
	n := copy(data, whole[2:])
	_, err = d.reader.Discard(2 + size)
	return n, err
}

// Write sends one datagram. It fails with MESSAGE_TOO_LARGE above MaxDatagramBytes, and with FLOW_CUT once the flow has
// ended; success guarantees nothing, as with UDP.
func (d *DatagramConn) Write(data []byte) (int, error) {
	if len(data) > MaxDatagramBytes {
		reason := fmt.Sprintf("a datagram of %d bytes exceeds the limit of %d", len(data), MaxDatagramBytes)
		return 0, newError(MessageTooLarge, reason, nil)
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	d.buffer = append(binary.BigEndian.AppendUint16(d.buffer[:0], uint16(len(data))), data...)
	if _, err := d.conn.Write(d.buffer); err != nil {
		return 0, d.failure(err)
	}
	return len(data), nil
}

// CloseWrite declares that this end sends no more. Answers still arrive; without one for five seconds the flow ends.
func (d *DatagramConn) CloseWrite() error { return d.conn.CloseWrite() }

// Close ends the flow. Idempotent.
func (d *DatagramConn) Close() error {
	if !d.conn.hasEnded.Load() {
		_ = d.conn.CloseWrite()
	}
	return d.conn.Close()
}

// LocalAddr is the local address.
func (d *DatagramConn) LocalAddr() net.Addr { return d.conn.LocalAddr() }

// RemoteAddr is the address of the peer.
func (d *DatagramConn) RemoteAddr() net.Addr { return d.conn.RemoteAddr() }

// SetDeadline sets both deadlines.
func (d *DatagramConn) SetDeadline(t time.Time) error { return d.conn.SetDeadline(t) }

// SetReadDeadline sets the deadline of Read.
func (d *DatagramConn) SetReadDeadline(t time.Time) error { return d.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of Write. A Write that it ends may leave a part of a datagram: close the flow then.
func (d *DatagramConn) SetWriteDeadline(t time.Time) error { return d.conn.SetWriteDeadline(t) }

func (d *DatagramConn) failure(err error) error {
	if CodeOf(err) != StreamTruncated {
		return err
	}
	if d.conn.hasEnded.Load() {
		return io.EOF
	}
	text := "the flow was cut"
	if _, reason, has := strings.Cut(err.(*Error).Reason, ": "); has {
		text += ": " + reason
	}
	return newError(FlowCut, text, err)
}
