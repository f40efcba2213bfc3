package warren

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// Without a deadline of its context.
	connectTimeout = 15 * time.Second
	// Time for a token that the agent no longer knows to be replaced.
	renewalTimeout = 2 * time.Second
	// A remembered endpoint that no longer exists and a stale token may each cost one more attempt.
	maxConnectAttempts = 3
)

// ConnectOptions are options of Connect. The zero value is usable.
type ConnectOptions struct {
	// As is the address to connect as (four components), registered for as long as it has connections. Empty:
	// DefaultSource.
	As string
	// Strategy selects one of several instances: "balanced" (default), "spread", "first", "sticky" or "exact".
	Strategy string
	// ExplicitEnd: only CloseWrite ends this direction; a connection that is closed before, or whose process ends, is
	// reset at the other end, and every end is verified with the agent.
	ExplicitEnd bool
	// Application is a name for people.
	Application string
	// Wait: hosts that must have the source before the connection is opened: "local" (default), "quorum" or "all".
	Wait string
	// Client of the agent; nil: SharedClient.
	Client *Client
}

// Connect connects to an instance of destination: an address, or a pattern such as dev.web.{nginx,caddy}.*. options may
// be nil. ctx is for connecting only; without a deadline of its own it takes at most 15 seconds.
//
// It fails with TIMEOUT, INVALID_SOURCE, DESTINATION_NOT_FOUND, DESTINATION_UNREACHABLE, CANNOT_CONNECT, UNAUTHORIZED,
// INVALID_ARGUMENT or AGENT_NOT_RUNNING; or with the error of ctx if it was cancelled.
func Connect(ctx context.Context, destination string, options *ConnectOptions) (*Conn, error) {
	return connect(ctx, destination, options, false)
}

// ConnectDatagram is Connect for a flow of datagrams.
func ConnectDatagram(ctx context.Context, destination string, options *ConnectOptions) (*DatagramConn, error) {
	conn, err := connect(ctx, destination, options, true)
	if err != nil {
		return nil, err
	}
	return newDatagramConn(conn), nil
}

// NewTransport returns an http.Transport whose connections use the mesh: the host of a URL is the destination, its port
// is ignored.
//
//	client := &http.Client{Transport: warren.NewTransport(nil)}
//	client.Get("http://dev.web.site.default/")
func NewTransport(options *ConnectOptions) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			destination, _, err := net.SplitHostPort(address)
			if err != nil {
				destination = address
			}
			return Connect(ctx, destination, options)
		},
		IdleConnTimeout: 90 * time.Second,
	}
}

func connect(ctx context.Context, destination string, given *ConnectOptions, datagrams bool) (*Conn, error) {
	options := ConnectOptions{}
	if given != nil {
		options = *given
	}
	client, err := clientOr(options.Client)
	if err != nil {
		return nil, err
	}
	if options.As == "" {
		if options.As, err = DefaultSource(destination); err != nil {
			return nil, err
		}
	}
	if _, has := ctx.Deadline(); !has {
		limited, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		ctx = limited
	}
	held, release, err := client.acquire(ctx, options.As, &options)
	if err != nil {
		return nil, timeoutOr(ctx, err, destination)
	}
	conn, err := attempt(ctx, client, held, destination, &options, datagrams)
	if err != nil {
		release()
		return nil, timeoutOr(ctx, err, destination)
	}
	conn.release = release
	return conn, nil
}

func attempt(ctx context.Context, client *Client, held *source, destination string, options *ConnectOptions, datagrams bool) (*Conn, error) {
	strategy := options.Strategy
	if strategy == "" {
		strategy = "balanced"
	}
	request := map[string]any{
		"destination": destination,
		"protocol":    protocolOf(datagrams),
		"strategy":    "STRATEGY_" + strings.ToUpper(strategy),
		"hello":       true,
		"explicitEnd": options.ExplicitEnd,
	}
	// Endpoints differ by all of these.
	key := protocolOf(datagrams) + ":" + strategy + ":" + destination
	if options.ExplicitEnd {
		key = "explicit:" + key
	}
	for attempts := 1; ; attempts++ {
		token := held.registration.Token()
		path, known := held.endpoint(key)
		var err error
		if !known {
			path, err = prepare(ctx, client, token, request)
			if err == nil {
				held.remember(key, path)
			}
		}
		if err == nil {
			var conn *Conn
			if conn, err = open(ctx, client, path, options.ExplicitEnd); err == nil {
				return conn, nil
			}
		}
		held.forget(key)
		switch {
		case ctx.Err() != nil || attempts == maxConnectAttempts:
			return nil, err
		case known && isGone(err):
			continue
		case CodeOf(err) == InvalidSource && isRenewed(ctx, held, token):
			continue
		case CodeOf(err) == StreamTruncated:
			return nil, newError(CannotConnect, "the agent closed the connection without a reason", err)
		}
		return nil, err
	}
}

// prepare asks the agent for an endpoint, which performs all checks up to the other end.
func prepare(ctx context.Context, client *Client, token string, request map[string]any) (string, error) {
	request["token"] = token
	var answer struct{ Path string }
	err := client.Call(ctx, "Connect", request, &answer)
	return answer.Path, err
}

func open(ctx context.Context, client *Client, path string, isStrict bool) (*Conn, error) {
	raw, err := dialAgent(ctx, path, client.RuntimeDir)
	if err != nil {
		switch {
		case CodeOf(err) != "":
			return nil, err
		case errors.Is(err, syscall.EACCES):
			return nil, newError(PermissionDenied, "the endpoint belongs to another user", err)
		}
		return nil, newError(CannotConnect, "the endpoint does not answer: "+err.Error(), err)
	}
	stop := context.AfterFunc(ctx, func() { raw.SetReadDeadline(time.Unix(1, 0)) })
	deadline, _ := ctx.Deadline()
	peer, isProbe, err := readHello(raw, deadline)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil && isProbe {
		err = newError(MessageMalformed, "a probe where a connection was expected", nil)
	}
	if err != nil {
		raw.Close()
		if errors.Is(ctx.Err(), context.Canceled) {
			err = ctx.Err()
		}
		return nil, err
	}
	return newConn(raw, peer, client, isStrict), nil
}

// isGone reports whether the endpoint was removed, or its agent restarted or ended before the hello.
func isGone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		CodeOf(err) == StreamTruncated || CodeOf(err) == InvalidSource
}

func isRenewed(ctx context.Context, held *source, stale string) bool {
	limited, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	return held.registration.renewed(limited, stale)
}
