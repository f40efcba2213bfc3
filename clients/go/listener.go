package warren

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const helloTimeout = 10 * time.Second

// ListenOptions are options of Listen. The zero value is usable.
type ListenOptions struct {
	// Whitelist has source patterns that may connect, in the same scope, without a rule.
	Whitelist []string
	Labels    map[string]string
	// Wait: hosts that must have it before Listen returns: "all" (default), "quorum" or "local".
	Wait string
	// HealthCheck: "auto" (default) or "off".
	HealthCheck string
	// MaxConnects that may be opened to it in a second, and at once. Zero: as many as the agent allows.
	MaxConnects int
	// DNSNames are for its certificates on spiffe.sock. An entry must name each.
	DNSNames []string
	// Application is a name for people.
	Application string
	// Client of the agent; nil: SharedClient.
	Client *Client
}

// Listener is a registered address whose connections arrive here: a net.Listener. After a restart of the agent it
// registers and binds again automatically.
type Listener struct {
	core *listenerCore
}

// DatagramListener is the same for flows of datagrams: one DatagramConn for each client.
type DatagramListener struct {
	core *listenerCore
}

// Listen registers address (four components) and takes its connections, each with its verified peer. options may be
// nil. ctx is for the first registration only.
//
// It fails as Register, and with CANNOT_CONNECT if the path from the agent cannot be bound.
func Listen(ctx context.Context, address string, options *ListenOptions) (*Listener, error) {
	core, err := listen(ctx, address, options, false)
	if err != nil {
		return nil, err
	}
	return &Listener{core}, nil
}

// ListenDatagram is Listen for flows of datagrams.
func ListenDatagram(ctx context.Context, address string, options *ListenOptions) (*DatagramListener, error) {
	core, err := listen(ctx, address, options, true)
	if err != nil {
		return nil, err
	}
	return &DatagramListener{core}, nil
}

// Accept returns the next connection, a *Conn. It fails with net.ErrClosed after Close, and with the reason if the agent
// has ended the registration.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.core.accept()
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Close deregisters, removes the socket and accepts no more; the agent ends open connections. Idempotent.
func (l *Listener) Close() error { return l.core.close() }

// Addr is the address that others connect to, with five components.
func (l *Listener) Addr() net.Addr { return Addr(l.core.registration.Address()) }

// Registration is its registration.
func (l *Listener) Registration() *Registration { return l.core.registration }

// Accept returns the next flow, as Listener.Accept.
func (l *DatagramListener) Accept() (*DatagramConn, error) {
	conn, err := l.core.accept()
	if err != nil {
		return nil, err
	}
	return newDatagramConn(conn), nil
}

// Close is as Listener.Close.
func (l *DatagramListener) Close() error { return l.core.close() }

// Addr is as Listener.Addr.
func (l *DatagramListener) Addr() net.Addr { return Addr(l.core.registration.Address()) }

// Registration is its registration.
func (l *DatagramListener) Registration() *Registration { return l.core.registration }

type listenerCore struct {
	registration *Registration
	client       *Client
	arrived      chan *Conn

	mu       sync.Mutex
	isClosed bool
	bound    *net.UnixListener
}

func listen(ctx context.Context, address string, given *ListenOptions, datagrams bool) (*listenerCore, error) {
	options := ListenOptions{}
	if given != nil {
		options = *given
	}
	client, err := clientOr(options.Client)
	if err != nil {
		return nil, err
	}
	core := &listenerCore{client: client, arrived: make(chan *Conn)}
	core.registration, err = Register(ctx, address, &RegisterOptions{
		Target:      &Target{Listen: &ListenTarget{Hello: true, Datagrams: datagrams, AnswersProbes: true}},
		Whitelist:   options.Whitelist,
		Labels:      options.Labels,
		Wait:        options.Wait,
		HealthCheck: options.HealthCheck,
		MaxConnects: options.MaxConnects,
		DNSNames:    options.DNSNames,
		Application: options.Application,
		OnLive:      core.bind,
		Client:      client,
	})
	if err != nil {
		core.unbind(true)
		return nil, err
	}
	go func() {
		<-core.registration.Done()
		core.unbind(true)
	}()
	return core, nil
}

func (l *listenerCore) accept() (*Conn, error) {
	select {
	case conn := <-l.arrived:
		return conn, nil
	case <-l.registration.Done():
		if _, err := l.registration.End(); err != nil {
			return nil, err
		}
		return nil, &net.OpError{Op: "accept", Net: "warren", Addr: Addr(l.registration.Address()), Err: net.ErrClosed}
	}
}

func (l *listenerCore) close() error {
	err := l.registration.Close()
	l.unbind(true)
	return err
}

func (l *listenerCore) unbind(forGood bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isClosed = l.isClosed || forGood
	if l.bound != nil {
		l.bound.Close()
		l.bound = nil
	}
}

func (l *listenerCore) bind(registration *Registration) error {
	// An agent that restarted may return the same path again: it must be free before it is bound.
	l.unbind(false)
	bound, err := bindOwn(registration.ListenPath())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		return bound.Close()
	}
	l.bound = bound
	go l.serve(bound, registration)
	return nil
}

func (l *listenerCore) serve(bound *net.UnixListener, registration *Registration) {
	for {
		raw, err := bound.AcceptUnix()
		if err == nil {
			go l.greet(raw, registration)
			continue
		}
		if temporary, is := err.(net.Error); !is || !temporary.Temporary() {
			return
		}
		// No descriptors are left: the connection stays in the backlog.
		time.Sleep(100 * time.Millisecond)
	}
}

func (l *listenerCore) greet(raw *net.UnixConn, registration *Registration) {
	peer, isProbe, err := readHello(raw, time.Now().Add(helloTimeout))
	if err != nil || isProbe {
		// The end is the answer to a health check.
		raw.Close()
		return
	}
	select {
	case l.arrived <- newConn(raw, peer, l.client, false):
	case <-registration.Done():
		raw.Close()
	}
}

// bindOwn listens on path so that only this uid (and root) can connect. It replaces the socket of an earlier
// registration, and nothing else.
func bindOwn(path string) (*net.UnixListener, error) {
	found, err := os.Lstat(path)
	if err == nil && found.Mode()&os.ModeSocket == 0 {
		return nil, newError(CannotConnect, path+" exists and is not a socket", nil)
	}
	if err == nil {
		if err := os.Remove(path); err != nil {
			return nil, newError(CannotConnect, fmt.Sprintf("cannot bind %s: %v", path, err), err)
		}
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		// The mode of the file, on Linux; elsewhere it fails, and the directory and Chmod protect it.
		return raw.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	bound, err := config.Listen(context.Background(), "unix", path)
	if err == nil {
		if err = os.Chmod(path, 0o600); err != nil {
			bound.Close()
		}
	}
	if err != nil {
		return nil, newError(CannotConnect, fmt.Sprintf("cannot bind %s: %v", path, err), err)
	}
	return bound.(*net.UnixListener), nil
}
