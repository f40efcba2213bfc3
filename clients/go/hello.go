package warren

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const maxHelloBytes = 16_384

// Peer is the workload at the other end of a connection, as the agents have verified it.
type Peer struct {
	SpiffeID string
	// Address has five components.
	Address string
	// FlowID names the flow in the logs of both agents.
	FlowID string
}

// ReadHello reads the hello with which the agent begins a connection, and leaves later bytes unread. For programs that
// bind ListenPath themselves. A health check is MESSAGE_MALFORMED: register without AnswersProbes.
func ReadHello(conn net.Conn, timeout time.Duration) (Peer, error) {
	peer, isProbe, err := readHello(conn, time.Now().Add(timeout))
	if err == nil && isProbe {
		err = newError(MessageMalformed, "a probe where a connection was expected", nil)
	}
	return peer, err
}

func readHello(conn net.Conn, deadline time.Time) (peer Peer, isProbe bool, err error) {
	conn.SetReadDeadline(deadline)
	defer conn.SetReadDeadline(time.Time{})
	frame, err := readFrame(conn)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return peer, false, newError(Timeout, "no hello from the agent in time", err)
	case CodeOf(err) != "":
		return peer, false, err
	case err != nil:
		return peer, false, truncated("", err)
	}
	return decodeHello(frame)
}

func readFrame(conn net.Conn) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if length > maxHelloBytes {
		return nil, newError(MessageTooLarge, fmt.Sprintf("a hello of %d bytes exceeds %d", length, maxHelloBytes), nil)
	}
	frame := make([]byte, length)
	_, err := io.ReadFull(conn, frame)
	return frame, err
}

// decodeHello decodes a warren.proxy.v1.FlowHello, or fails with the error that it carries.
func decodeHello(frame []byte) (peer Peer, isProbe bool, err error) {
	var failure *Error
	err = eachField(frame, func(number int, value uint64, content []byte) error {
		switch number {
		case 1:
			peer.FlowID = string(content)
		case 2:
			peer.SpiffeID = string(content)
		case 3:
			failure = &Error{Code: CannotConnect}
			return eachField(content, func(number int, _ uint64, content []byte) error {
				if number == 1 && codes[Code(content)] {
					failure.Code = Code(content)
				} else if number == 2 {
					failure.Reason = string(content)
				}
				return nil
			})
		case 4:
			isProbe = value != 0
		}
		return nil
	})
	if err == nil && failure != nil {
		err = failure
	}
	if parts := strings.Split(peer.SpiffeID, "/"); len(parts) > 3 {
		// The agents have verified the identity; this only changes its form.
		peer.Address = strings.Join(parts[3:], ".")
	}
	return peer, isProbe, err
}

// eachField calls found for each field of a protobuf message; those of a later version are among them.
func eachField(message []byte, found func(number int, value uint64, content []byte) error) error {
	malformed := newError(MessageMalformed, "the hello of the agent cannot be decoded", nil)
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return malformed
		}
		message = message[size:]
		var value uint64
		var length uint64
		switch tag & 7 {
		case 0, 2:
			if value, size = binary.Uvarint(message); size <= 0 {
				return malformed
			}
			message = message[size:]
			if tag&7 == 2 {
				length = value
			}
		case 1:
			length = 8
		case 5:
			length = 4
		default:
			return malformed
		}
		if length > uint64(len(message)) {
			return malformed
		}
		if err := found(int(tag>>3), value, message[:length]); err != nil {
			return err
		}
		message = message[length:]
	}
	return nil
}
