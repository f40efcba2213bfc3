package warren

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	service        = "http://localhost/warren.api.v1.WorkloadService/"
	callTimeout    = 60 * time.Second
	maxAnswerBytes = 64 << 20
	endStream      = 2
	envelopeBytes  = 5
)

// Client has the calls of one agent, JSON over HTTP/1.1 on its unix socket in the Connect protocol, and the
// registrations and connections that were made with it. Safe for concurrent use.
type Client struct {
	RuntimeDir string
	http       *http.Client
	mu         sync.Mutex
	closers    map[int]func()
	count      int
	sources    map[string]*source
}

// NewClient returns a client of the agent of runtimeDir; empty: of the agent of this user.
func NewClient(runtimeDir string) (*Client, error) {
	if runtimeDir == "" {
		var err error
		if runtimeDir, err = AgentDir(); err != nil {
			return nil, err
		}
	}
	client := &Client{RuntimeDir: runtimeDir, closers: map[int]func(){}, sources: map[string]*source{}}
	client.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialAgent(ctx, client.path(), runtimeDir)
		},
		// The agent bounds connections, so that none is kept that nobody uses.
		DisableKeepAlives: true,
	}}
	return client, nil
}

var shared = struct {
	sync.Mutex
	clients map[string]*Client
}{clients: map[string]*Client{}}

// SharedClient returns the client of this process for the agent of this user: the same one each time.
func SharedClient() (*Client, error) {
	dir, err := AgentDir()
	if err != nil {
		return nil, err
	}
	shared.Lock()
	defer shared.Unlock()
	if found := shared.clients[dir]; found != nil {
		return found, nil
	}
	client, err := NewClient(dir)
	if err == nil {
		shared.clients[dir] = client
	}
	return client, err
}

func clientOr(client *Client) (*Client, error) {
	if client != nil {
		return client, nil
	}
	return SharedClient()
}

func (c *Client) path() string { return filepath.Join(c.RuntimeDir, "agent.sock") }

// Close ends the registrations of this client. Idempotent.
func (c *Client) Close() error {
	c.mu.Lock()
	closers := c.closers
	c.closers = map[int]func(){}
	c.mu.Unlock()
	for _, closer := range closers {
		closer()
	}
	return nil
}

func (c *Client) onClose(closer func()) (undo func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	number := c.count
	c.closers[number] = closer
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.closers, number)
	}
}

// Call is one call of warren.api.v1.WorkloadService, with its messages as JSON. Without a deadline of ctx it takes at
// most 60 seconds.
//
// It fails with AGENT_NOT_RUNNING if no agent listens or it ends, PERMISSION_DENIED if the socket is another user's,
// else with the agent's error; or with the error of ctx if it was cancelled.
func (c *Client) Call(ctx context.Context, method string, request, answer any) error {
	if _, has := ctx.Deadline(); !has {
		limited, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		ctx = limited
	}
	response, err := c.post(ctx, method, request, "application/json")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return c.transportError(ctx, err)
	}
	if response.StatusCode != http.StatusOK {
		return failureOf(body, response.Header.Get)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return newError(MessageMalformed, "the answer of the agent cannot be decoded", err)
	}
	return nil
}

func (c *Client) post(ctx context.Context, method string, request any, contentType string) (*http.Response, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, newError(InvalidArgument, "the request cannot be encoded", err)
	}
	isStream := contentType != "application/json"
	if isStream {
		body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	}
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, service+method, bytes.NewReader(body))
	if err != nil {
		return nil, newError(InvalidArgument, "the call cannot be made", err)
	}
	call.Header.Set("Content-Type", contentType)
	if deadline, has := ctx.Deadline(); has && !isStream {
		left := time.Until(deadline).Milliseconds()
		if left < 1 {
			left = 1
		}
		call.Header.Set("Connect-Timeout-Ms", strconv.FormatInt(left, 10))
	}
	response, err := c.http.Do(call)
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	return response, nil
}

// stream calls each with every message of the answer, until it ends, ctx ends, or each returns false.
func (c *Client) stream(ctx context.Context, method string, request any, each func(message []byte) bool) error {
	response, err := c.post(ctx, method, request, "application/connect+json")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
		return failureOf(body, response.Header.Get)
	}
	for {
		var header [envelopeBytes]byte
		if _, err := io.ReadFull(response.Body, header[:]); err != nil {
			return c.transportError(ctx, err)
		}
		size := binary.BigEndian.Uint32(header[1:])
		if size > maxAnswerBytes {
			return newError(MessageTooLarge, fmt.Sprintf("an answer of %d bytes", size), nil)
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(response.Body, message); err != nil {
			return c.transportError(ctx, err)
		}
		if header[0]&endStream != 0 {
			return endOf(message)
		}
		if !each(message) {
			return nil
		}
	}
}

func endOf(message []byte) error {
	var end struct {
		Error    json.RawMessage
		Metadata map[string][]string
	}
	if err := json.Unmarshal(message, &end); err != nil {
		return newError(MessageMalformed, "the answer of the agent cannot be decoded", err)
	}
	if len(end.Error) == 0 {
		return nil
	}
	header := http.Header{}
	for name, values := range end.Metadata {
		for _, value := range values {
			header.Add(name, value)
		}
	}
	return failureOf(end.Error, header.Get)
}

var connectCodes = map[string]Code{
	"deadline_exceeded":  Timeout,
	"invalid_argument":   InvalidArgument,
	"resource_exhausted": LimitExceeded,
	"unimplemented":      Unsupported,
	// The agent ended during the call.
	"unavailable": AgentNotRunning,
	"aborted":     AgentNotRunning,
	"canceled":    AgentNotRunning,
}

func failureOf(body []byte, header func(string) string) *Error {
	var answer struct{ Code, Message string }
	if json.Unmarshal(body, &answer) != nil || answer.Message == "" {
		answer.Message = "the agent refused the call"
	}
	if code := Code(header("warren-error")); codes[code] {
		return &Error{Code: code, Reason: decoded(header("warren-reason"), answer.Message), Hint: decoded(header("warren-hint"), "")}
	}
	code, known := connectCodes[answer.Code]
	if !known {
		code = Internal
	}
	return newError(code, answer.Message, nil)
}

func decoded(header, otherwise string) string {
	if header == "" {
		return otherwise
	}
	if text, err := url.PathUnescape(header); err == nil {
		return text
	}
	return header
}

func (c *Client) transportError(ctx context.Context, err error) error {
	var own *Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return newError(Timeout, "no answer from the agent on "+c.path()+" in time", err)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ECONNREFUSED):
		return &Error{
			Code:   AgentNotRunning,
			Reason: "no agent answers on " + c.path(),
			Hint:   "Start it with `warren up`, or give its runtime directory with WARREN_RUNTIME_DIR.",
			cause:  err,
		}
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return newError(PermissionDenied, "this user may not use "+c.path(), err)
	default:
		return newError(AgentNotRunning, "the agent on "+c.path()+" ended during the call", err)
	}
}

// WaitForAgent waits until the agent answers and is ready. It fails with the last answer once ctx ends.
func (c *Client) WaitForAgent(ctx context.Context) error {
	for {
		var status struct{ State string }
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := c.Call(limited, "GetStatus", struct{}{}, &status)
		cancel()
		if err == nil && (status.State == "ready" || status.State == "draining") {
			return nil
		}
		if err == nil {
			err = newError(NotReady, "the agent is not ready", nil)
		}
		if code := CodeOf(err); code != AgentNotRunning && code != NotReady && code != Timeout {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(firstRetry):
		}
	}
}
