package warren

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// The reason of a cut is worth this much delay of its error.
	reasonTimeout = time.Second
	// An end that may be a cut is held back for this long at most; then it is a cut.
	verdictTimeout = 10 * time.Second

	copyBytes = 32 * 1024
	// What a unix socket holds by default is read at once.
	bulkBytes = 256 * 1024
)

// Conn is a connection of the mesh: a net.Conn, with the peer at its other end.
//
// Each direction has an end of its own: CloseWrite ends this one. A cut is STREAM_TRUNCATED, also where the system shows
// a clean end, as long as this direction is open.
type Conn struct {
	raw      *net.UnixConn
	peer     Peer
	client   *Client
	isStrict bool
	release  func()
	hasEnded atomic.Bool
	sawEnd   atomic.Bool
	closing  sync.Once
}

func newConn(raw *net.UnixConn, peer Peer, client *Client, isStrict bool) *Conn {
	return &Conn{raw: raw, peer: peer, client: client, isStrict: isStrict, release: func() {}}
}

// Peer is the workload at the other end.
func (c *Conn) Peer() Peer { return c.peer }

// Read reads as any net.Conn.
func (c *Conn) Read(data []byte) (int, error) {
	n, err := c.raw.Read(data)
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		return n, c.endOrCut()
	}
	return n, c.cutOr(err)
}

// Write writes as any net.Conn.
func (c *Conn) Write(data []byte) (int, error) {
	n, err := c.raw.Write(data)
	if err != nil {
		err = c.cutOr(err)
	}
	return n, err
}

// WriteTo is for io.Copy. Its buffer grows from 32 KB to 256 KB once a read has filled it, so that bulk takes fewer calls
// and an idle connection holds little.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	buffer := make([]byte, copyBytes)
	var total int64
	for {
		n, failure := c.Read(buffer)
		if n > 0 {
			written, err := w.Write(buffer[:n])
			total += int64(written)
			if err != nil {
				return total, err
			}
			if written < n {
				return total, io.ErrShortWrite
			}
		}
		if failure == io.EOF {
			return total, nil
		}
		if failure != nil {
			return total, failure
		}
		if n == copyBytes && len(buffer) == copyBytes {
			buffer = make([]byte, bulkBytes)
		}
	}
}

// CloseWrite ends this direction; the other one stays open.
func (c *Conn) CloseWrite() error {
	c.hasEnded.Store(true)
	return c.raw.CloseWrite()
}

// Close closes it. With ExplicitEnd, a connection whose own direction has not ended is reset at the other end.
func (c *Conn) Close() error {
	var err error
	c.closing.Do(func() {
		if c.isStrict && c.sawEnd.Load() && !c.hasEnded.Load() {
			// The agent has ended its direction, so that it cannot tell a close from an end.
			ctx, cancel := context.WithTimeout(context.Background(), reasonTimeout)
			defer cancel()
			_ = c.client.Call(ctx, "ResetConnection", map[string]any{"flowId": c.peer.FlowID}, nil)
		}
		err = c.raw.Close()
		c.release()
	})
	return err
}

// LocalAddr is the local address.
func (c *Conn) LocalAddr() net.Addr { return Addr("") }

// RemoteAddr is the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return Addr(c.peer.Address) }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error { return c.raw.SetDeadline(t) }

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

// endOrCut returns io.EOF, or the error of a cut that looks like an end.
//
// A peer that closed both directions and one that ended only its own look alike to a reader. They differ for a writer: a
// write of no bytes fails only if no reader exists any more.
func (c *Conn) endOrCut() error {
	if c.sawEnd.Load() {
		return io.EOF
	}
	if !c.hasEnded.Load() {
		if err := c.probe(); err != nil && isReset(err) {
			return c.cutOr(err)
		}
	} else if c.isStrict {
		if cut := c.verdict(); cut != nil {
			return cut
		}
	}
	c.sawEnd.Store(true)
	return io.EOF
}

// probe writes no bytes, without a wait for a Write that goes on in another goroutine.
func (c *Conn) probe() error {
	raw, err := c.raw.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { _, failure = syscall.Write(int(fd), nil) }); err != nil {
		return err
	}
	return failure
}

type connectionEnd struct{ State, Reason string }

func (c *Conn) ask(timeout time.Duration) (end connectionEnd, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err = c.client.Call(ctx, "GetConnectionEnd", map[string]any{"flowId": c.peer.FlowID}, &end)
	return end, err
}

// cutOr returns the error of a cut, with the reason of the agent, if err is one.
func (c *Conn) cutOr(err error) error {
	if !isReset(err) {
		return err
	}
	if end, asked := c.ask(reasonTimeout); asked == nil && end.State == "cut" {
		return truncated(end.Reason, err)
	}
	return truncated("", err)
}

func (c *Conn) verdict() error {
	end, err := c.ask(verdictTimeout)
	switch {
	case CodeOf(err) == Unsupported || CodeOf(err) == NotFound:
		// An agent that is too old for the question.
		return nil
	case err != nil:
		return truncated("its agent does not answer", err)
	case end.State == "open" || end.State == "ended":
		return nil
	case end.State == "cut":
		return truncated(end.Reason, nil)
	}
	return truncated("the agent has started again since", nil)
}

// Addr is an address of the mesh as a net.Addr.
type Addr string

// Network is "warren".
func (Addr) Network() string { return "warren" }

func (a Addr) String() string { return string(a) }
