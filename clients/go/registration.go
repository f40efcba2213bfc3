package warren

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstRetry = 100 * time.Millisecond
	maxRetry   = 5 * time.Second
	// An agent that hangs must not keep its clients from ending.
	deregisterTimeout = 10 * time.Second
	// Reason that an agent sends when it stops: it may be about to start again.
	agentStopped = "agent stopped"
	// For so long after its program was replaced, what an agent lost is asked for again with the same token.
	keptFor = 10 * time.Second
)

// Target is the address at which the agent delivers connections. Exactly one of Listen, TCP, UDP and Unix.
type Target struct {
	// Listen: the program binds a unix socket at ListenPath.
	Listen *ListenTarget
	// TCP is host:port on this host.
	TCP string
	// UDP is host:port of a UDP server on this host.
	UDP string
	// Unix is the path of a socket that this user serves.
	Unix string
	// ProxyProtocol begins each connection with a PROXY protocol v2 header.
	ProxyProtocol bool
	// ServerUser is the user whose server may have the port, by name or uid; "any": no check.
	ServerUser string
}

// ListenTarget is a unix socket that the program binds at the path from the agent.
type ListenTarget struct {
	// Hello begins each connection with a hello, which ReadHello reads.
	Hello bool
	// Datagrams: each connection carries datagrams, each after two bytes of its length.
	Datagrams bool
	// AnswersProbes: the program ends a connection whose hello is a health check.
	AnswersProbes bool
}

// RegisterOptions are options of Register. The zero value is a registration that only connects.
type RegisterOptions struct {
	Target *Target
	// Whitelist has source patterns that may connect, in the same scope, without a rule.
	Whitelist []string
	Labels    map[string]string
	// Wait: hosts that must have it before Register returns: "all" (default), "quorum" or "local".
	Wait string
	// HealthCheck: "auto" (default), "off", "connect", "http", "http:/PATH", "grpc" or "grpc:SERVICE".
	HealthCheck string
	// MaxConnects that may be opened to it in a second, and at once. Zero: as many as the agent allows.
	MaxConnects int
	// DNSNames are for its certificates on spiffe.sock. An entry must name each.
	DNSNames []string
	// OwnerPID is the process whose end ends the registration, if not this one.
	OwnerPID int
	// ForUser: spiffe.sock gives the identity to every process of this user that registered none.
	ForUser bool
	// Application is a name for people.
	Application string
	// OnLive is called after each successful registration, the first one and those after a restart of the agent.
	OnLive func(*Registration) error
	// OnProblem is called when Problem has changed.
	OnProblem func(*Registration)
	// Client of the agent; nil: SharedClient.
	Client *Client
}

// Replication says how far a registration has spread: State is "replicated" or "partial".
type Replication struct {
	State    string
	Acked    int
	Required int
	Missing  []string
}

type registered struct {
	Token, RegistrationID, SpiffeID, Address, ListenPath, Problem string
	Replication                                                   *Replication
}

// Registration is an address that this process holds until it is closed or the agent no longer grants it.
//
// While the agent is away it is "lost", and made again as soon as the agent answers. RegistrationID, Token and
// ListenPath change then, unless the agent has kept it: its program was replaced.
type Registration struct {
	client  *Client
	request map[string]any
	options RegisterOptions
	ctx     context.Context
	stop    context.CancelFunc
	ended   chan struct{}
	undo    func()
	closing sync.Once
	// Set by Close: what the Keep stream says afterwards is its consequence.
	isClosing atomic.Bool
	ending    sync.Once

	mu      sync.Mutex
	changed chan struct{}
	held    registered
	problem string
	state   string
	err     error
	reason  string
	retry   time.Duration
	// An agent whose program was replaced still has it.
	mayBeKept bool
	keptAt    time.Time
}

// Register registers address (four components; the agent appends its machine) and keeps it until it is closed. ctx is
// for the first attempt, whose failure is returned; the registration outlives it.
func Register(ctx context.Context, address string, options *RegisterOptions) (*Registration, error) {
	if options == nil {
		options = &RegisterOptions{}
	}
	client, err := clientOr(options.Client)
	if err != nil {
		return nil, err
	}
	r := &Registration{
		client:  client,
		request: requestOf(address, options),
		options: *options,
		ended:   make(chan struct{}),
		changed: make(chan struct{}),
		state:   "lost",
		retry:   firstRetry,
		undo:    func() {},
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	if err := r.enrol(ctx); err != nil {
		r.Close()
		return nil, err
	}
	r.undo = client.onClose(func() { r.Close() })
	go r.run()
	return r, nil
}

func requestOf(address string, options *RegisterOptions) map[string]any {
	wait := options.Wait
	if wait == "" {
		wait = "all"
	}
	request := map[string]any{
		"address":     address,
		"whitelist":   options.Whitelist,
		"labels":      options.Labels,
		"wait":        "WAIT_" + strings.ToUpper(wait),
		"ownerPid":    options.OwnerPID,
		"forUser":     options.ForUser,
		"application": options.Application,
		"maxConnects": options.MaxConnects,
	}
	// An agent that knows no such names refuses the field.
	if len(options.DNSNames) > 0 {
		request["dnsNames"] = options.DNSNames
	}
	if check := options.HealthCheck; check != "" && check != "auto" {
		kind, subject, _ := strings.Cut(check, ":")
		request["healthCheck"] = "HEALTH_CHECK_" + strings.ToUpper(kind)
		request["healthCheckSubject"] = subject
	}
	if target := options.Target; target != nil {
		request["target"] = target.json()
	}
	return request
}

func (t *Target) json() map[string]any {
	target := map[string]any{"proxyProtocol": t.ProxyProtocol, "serverUser": t.ServerUser}
	switch {
	case t.Listen != nil:
		target["listen"] = map[string]any{
			"hello": t.Listen.Hello, "protocol": protocolOf(t.Listen.Datagrams), "answersProbes": t.Listen.AnswersProbes,
		}
	case t.TCP != "":
		target["tcp"] = t.TCP
	case t.UDP != "":
		target["udp"] = t.UDP
	default:
		target["unix"] = t.Unix
	}
	return target
}

func protocolOf(datagrams bool) string {
	if datagrams {
		return "PROTOCOL_UDP"
	}
	return "PROTOCOL_TCP"
}

func (r *Registration) snapshot() registered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// Address has five components.
func (r *Registration) Address() string { return r.snapshot().Address }

// SpiffeID is its identity.
func (r *Registration) SpiffeID() string { return r.snapshot().SpiffeID }

// RegistrationID is hexadecimal and may be public.
func (r *Registration) RegistrationID() string { return r.snapshot().RegistrationID }

// Token is secret: a process of this user that knows it can act as this registration.
func (r *Registration) Token() string { return r.snapshot().Token }

// ListenPath is the path to bind, if the target is Listen; else empty.
func (r *Registration) ListenPath() string { return r.snapshot().ListenPath }

// Replication says how far it has spread; nil if the agent did not say.
func (r *Registration) Replication() *Replication { return r.snapshot().Replication }

// Problem is the reason why connections are refused, as last heard: another user has the port. Empty if none is known.
func (r *Registration) Problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problem
}

// State is "live", "lost" while the agent is away, or "closed".
func (r *Registration) State() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Done is closed when it has ended.
func (r *Registration) Done() <-chan struct{} { return r.ended }

// End returns the reason of its end, and an error unless Close was called. Empty before.
func (r *Registration) End() (reason string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason, r.err
}

// Close deregisters: locally at once, then everywhere. Idempotent.
func (r *Registration) Close() error {
	r.closing.Do(func() {
		r.isClosing.Store(true)
		// Before the end of the Keep stream, which would end the registration without a report of replication.
		if held := r.snapshot(); r.State() == "live" {
			ctx, cancel := context.WithTimeout(context.Background(), deregisterTimeout)
			defer cancel()
			call := map[string]any{"token": held.Token, "wait": r.request["wait"]}
			// A registration for which this fails has ended already, or ends with the stream.
			_ = r.client.Call(ctx, "Deregister", call, nil)
		}
		r.stop()
		r.undo()
		r.finish("closed", nil)
	})
	return nil
}

func (r *Registration) enrol(ctx context.Context) error {
	var answer registered
	if err := r.client.Call(ctx, "Register", r.request, &answer); err != nil {
		return err
	}
	r.mu.Lock()
	if r.held.Token == "" {
		r.problem = answer.Problem
	}
	r.held = answer
	r.mu.Unlock()
	r.become("live")
	if r.options.OnLive != nil {
		return r.options.OnLive(r)
	}
	return nil
}

func (r *Registration) run() {
	for {
		reason := r.keep()
		if r.isClosing.Load() {
			return
		}
		if reason != nil && *reason != agentStopped {
			go r.undo()
			r.finish(*reason, newError(InvalidSource, "the agent ended the registration: "+*reason, nil))
			return
		}
		r.become("lost")
		r.mayBeKept = reason == nil
		if !r.recover() {
			return
		}
	}
}

// keep follows the Keep stream to its end, and returns the reason of the agent, if it gave one.
func (r *Registration) keep() (reason *string) {
	_ = r.client.stream(r.ctx, "Keep", map[string]any{"token": r.Token()}, func(message []byte) bool {
		var event struct {
			Alive *struct{ Problem *string }
			Ended *struct{ Reason string }
		}
		if json.Unmarshal(message, &event) != nil {
			return false
		}
		if event.Ended != nil {
			reason = &event.Ended.Reason
			return false
		}
		r.mu.Lock()
		r.retry = firstRetry
		isNew := event.Alive != nil && event.Alive.Problem != nil && *event.Alive.Problem != r.problem
		if isNew {
			r.problem = *event.Alive.Problem
		}
		r.mu.Unlock()
		if isNew && r.options.OnProblem != nil {
			r.options.OnProblem(r)
		}
		return true
	})
	return reason
}

// recover registers again until it succeeds; returns false if that will never be.
func (r *Registration) recover() bool {
	for {
		r.mu.Lock()
		wait := time.Duration(float64(r.retry) * (0.5 + rand.Float64()/2))
		if r.retry *= 2; r.retry > maxRetry {
			r.retry = maxRetry
		}
		r.mu.Unlock()
		select {
		case <-r.ctx.Done():
			return false
		case <-time.After(wait):
		}
		err := r.again()
		if err == nil {
			return true
		}
		if r.isClosing.Load() {
			return false
		}
		r.become("lost")
		if isFinal(err) {
			go r.undo()
			r.finish(err.Error(), err)
			return false
		}
	}
}

// again makes it live once more: the one that the agent has kept, or a new one.
func (r *Registration) again() error {
	if r.mayBeKept {
		err := r.client.Call(r.ctx, "Heartbeat", map[string]any{"token": r.Token()}, nil)
		if err == nil {
			r.mu.Lock()
			r.keptAt = time.Now()
			r.mu.Unlock()
			r.become("live")
			return nil
		}
		if code := CodeOf(err); code == AgentNotRunning || code == NotReady {
			return err
		}
		// Whatever else it answers: the next registration says more.
		r.mayBeKept = false
	}
	return r.enrol(r.ctx)
}

// isFinal reports whether a retry cannot change this answer; the others come from an agent that is away, starting or
// busy.
func isFinal(err error) bool {
	switch CodeOf(err) {
	case InvalidArgument, Unauthorized, Unsupported:
		return true
	case PermissionDenied:
		// A starting agent opens its socket to others only after binding it; and its directory may be given back.
		return errors.Unwrap(err) == nil
	}
	return false
}

// renewed waits until it is live with another token than stale, or was kept just now.
func (r *Registration) renewed(ctx context.Context, stale string) bool {
	for {
		r.mu.Lock()
		isOther := r.held.Token != stale || time.Since(r.keptAt) < keptFor
		changed, isNew, isClosed := r.changed, r.state == "live" && isOther, r.state == "closed"
		r.mu.Unlock()
		if isNew || isClosed {
			return isNew
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

func (r *Registration) become(state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != "closed" {
		r.state = state
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Registration) finish(reason string, err error) {
	r.ending.Do(func() {
		r.mu.Lock()
		r.reason, r.err = reason, err
		r.mu.Unlock()
		r.become("closed")
		close(r.ended)
	})
}
