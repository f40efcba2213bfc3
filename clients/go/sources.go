package warren

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// Time that a source outlives its last connection: the next connection then starts faster.
	linger = time.Second
	// Endpoints remembered for one source.
	maxEndpoints = 1_024
)

// source is a registration that connections come from: one for each address, shared by the connections of a client.
type source struct {
	as           string
	registration *Registration
	err          error
	ready        chan struct{}
	users        int
	timer        *time.Timer

	mu        sync.Mutex
	endpoints map[string]string
}

func (s *source) endpoint(key string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, known := s.endpoints[key]
	return path, known
}

func (s *source) remember(key, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for each := range s.endpoints {
		if len(s.endpoints) < maxEndpoints {
			break
		}
		// Asking again costs one call.
		delete(s.endpoints, each)
	}
	s.endpoints[key] = path
}

func (s *source) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.endpoints, key)
}

// acquire returns the source of as, made if there is none, and the function that gives it back.
func (c *Client) acquire(ctx context.Context, as string, options *ConnectOptions) (*source, func(), error) {
	c.mu.Lock()
	found := c.sources[as]
	// A registration that the agent has ended must not be returned again.
	if found == nil || (found.registration != nil && found.registration.State() == "closed") {
		found = &source{as: as, ready: make(chan struct{}), endpoints: map[string]string{}}
		c.sources[as] = found
		// Not cancelled with this ctx, since others may wait for the same registration.
		go c.open(found, options.Application, options.Wait)
	}
	found.users++
	if found.timer != nil {
		found.timer.Stop()
		found.timer = nil
	}
	c.mu.Unlock()
	var once sync.Once
	release := func() { once.Do(func() { c.release(found) }) }
	select {
	case <-ctx.Done():
		release()
		return nil, nil, ctx.Err()
	case <-found.ready:
	}
	if found.err != nil {
		release()
		return nil, nil, found.err
	}
	return found, release, nil
}

func (c *Client) open(opening *source, application, wait string) {
	if wait == "" {
		// `local` suffices: a destination that does not know this source yet asks our agent before it refuses.
		wait = "local"
	}
	options := &RegisterOptions{Application: application, Wait: wait, Client: c}
	registration, err := Register(context.Background(), opening.as, options)
	c.mu.Lock()
	defer c.mu.Unlock()
	opening.registration, opening.err = registration, err
	if err != nil && c.sources[opening.as] == opening {
		delete(c.sources, opening.as)
	}
	close(opening.ready)
}

func (c *Client) release(held *source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held.users--
	if held.users == 0 && c.sources[held.as] == held {
		held.timer = time.AfterFunc(linger, func() { c.end(held) })
	}
}

func (c *Client) end(held *source) {
	c.mu.Lock()
	isIdle := held.users == 0 && c.sources[held.as] == held
	if isIdle {
		delete(c.sources, held.as)
	}
	c.mu.Unlock()
	if isIdle && held.registration != nil {
		held.registration.Close()
	}
}

// timeoutOr returns the error of ctx as TIMEOUT if its deadline has passed, else err.
func timeoutOr(ctx context.Context, err error, destination string) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return newError(Timeout, destination+" did not answer in time", err)
}
