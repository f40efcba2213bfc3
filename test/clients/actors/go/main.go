// The actor of the Go library: does what the lines of its input say.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"warren.internal/warren"
)

type line struct {
	ID          int
	Call        string
	Name        string
	Address     string
	Whitelist   []string
	DNSNames    []string
	Protocol    string
	Mode        string
	To          string
	As          string
	ExplicitEnd bool
	TimeoutMs   int
	Text        string
	Size        int
	Bytes       int
}

type object = map[string]any

var (
	writing sync.Mutex
	names   sync.Map
)

func say(message object) {
	writing.Lock()
	defer writing.Unlock()
	text, _ := json.Marshal(message)
	fmt.Println(string(text))
}

func peerOf(peer warren.Peer) object {
	return object{"spiffeId": peer.SpiffeID, "address": peer.Address, "flowId": peer.FlowID}
}

func failure(err error) object {
	var known *warren.Error
	if errors.As(err, &known) {
		return object{"code": known.Code, "reason": known.Reason}
	}
	return object{"code": fmt.Sprintf("%T", err), "reason": err.Error()}
}

func readAll(conn io.Reader) object {
	data, err := io.ReadAll(conn)
	end := object{"text": string(data), "how": "ended", "reason": ""}
	if err != nil {
		end["how"], end["reason"] = failure(err)["code"], failure(err)["reason"]
	}
	return end
}

func serve(conn *warren.Conn, mode string) {
	defer conn.Close()
	say(object{"event": "connection", "peer": peerOf(conn.Peer())})
	end := object{"how": "ended"}
	switch mode {
	case "count":
		end = readAll(conn)
		fmt.Fprint(conn, len(end["text"].(string)))
		conn.CloseWrite()
	case "hold":
		end = readAll(conn)
	default:
		_, err := io.Copy(conn, conn)
		if err != nil {
			end = object{"how": failure(err)["code"], "reason": failure(err)["reason"]}
		} else {
			conn.CloseWrite()
		}
	}
	end["event"] = "end"
	say(end)
}

func echoDatagrams(flow *warren.DatagramConn) {
	defer flow.Close()
	say(object{"event": "connection", "peer": peerOf(flow.Peer())})
	buffer := make([]byte, warren.MaxDatagramBytes)
	for {
		n, err := flow.Read(buffer)
		if err != nil {
			return
		}
		flow.Write(buffer[:n])
	}
}

func listen(ctx context.Context, l line) (object, error) {
	options := &warren.ListenOptions{Whitelist: l.Whitelist}
	var registration *warren.Registration
	if l.Protocol == "udp" {
		server, err := warren.ListenDatagram(ctx, l.Address, options)
		if err != nil {
			return nil, err
		}
		names.Store(l.Name, server)
		registration = server.Registration()
		go func() {
			for {
				flow, err := server.Accept()
				if err != nil {
					return
				}
				go echoDatagrams(flow)
			}
		}()
	} else {
		server, err := warren.Listen(ctx, l.Address, options)
		if err != nil {
			return nil, err
		}
		names.Store(l.Name, server)
		registration = server.Registration()
		go func() {
			for {
				conn, err := server.Accept()
				if err != nil {
					return
				}
				go serve(conn.(*warren.Conn), l.Mode)
			}
		}()
	}
	return object{
		"address": registration.Address(), "spiffeId": registration.SpiffeID(), "path": registration.ListenPath(),
	}, nil
}

func connect(ctx context.Context, l line) (object, error) {
	if l.TimeoutMs > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(l.TimeoutMs)*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	options := &warren.ConnectOptions{As: l.As, ExplicitEnd: l.ExplicitEnd}
	if l.Protocol == "udp" {
		flow, err := warren.ConnectDatagram(ctx, l.To, options)
		if err != nil {
			return nil, err
		}
		names.Store(l.Name, flow)
		return object{"peer": peerOf(flow.Peer())}, nil
	}
	conn, err := warren.Connect(ctx, l.To, options)
	if err != nil {
		return nil, err
	}
	names.Store(l.Name, conn)
	return object{"peer": peerOf(conn.Peer())}, nil
}

func named[T any](l line) T {
	found, _ := names.Load(l.Name)
	return found.(T)
}

func send(_ context.Context, l line) (object, error) {
	_, err := named[io.Writer](l).Write([]byte(l.Text))
	return object{"sent": err == nil}, err
}

func recv(_ context.Context, l line) (object, error) {
	found, _ := names.Load(l.Name)
	if flow, is := found.(*warren.DatagramConn); is {
		data := make([]byte, warren.MaxDatagramBytes)
		n, err := flow.Read(data)
		if err == io.EOF {
			return object{"text": nil}, nil
		}
		return object{"text": string(data[:n])}, err
	}
	data := make([]byte, l.Size)
	n, err := io.ReadFull(found.(io.Reader), data)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return object{"text": string(data[:n])}, err
}

func end(_ context.Context, l line) (object, error) {
	return object{}, named[interface{ CloseWrite() error }](l).CloseWrite()
}

func closeIt(_ context.Context, l line) (object, error) {
	return object{}, named[io.Closer](l).Close()
}

func register(ctx context.Context, l line) (object, error) {
	registration, err := warren.Register(ctx, l.Address, &warren.RegisterOptions{Whitelist: l.Whitelist, DNSNames: l.DNSNames})
	if err != nil {
		return nil, err
	}
	names.Store(l.Name, registration)
	return object{"address": registration.Address(), "token": registration.Token()}, nil
}

func closed(_ context.Context, l line) (object, error) {
	found, _ := names.Load(l.Name)
	registration, is := found.(*warren.Registration)
	if !is {
		registration = found.(interface{ Registration() *warren.Registration }).Registration()
	}
	<-registration.Done()
	reason, err := registration.End()
	return object{"reason": reason, "code": warren.CodeOf(err)}, nil
}

func waitForAgent(ctx context.Context, _ line) (object, error) {
	client, err := warren.SharedClient()
	if err != nil {
		return nil, err
	}
	return object{}, client.WaitForAgent(ctx)
}

func get(ctx context.Context, l line) (object, error) {
	client := &http.Client{Transport: warren.NewTransport(&warren.ConnectOptions{As: l.As})}
	response, err := client.Get("http://" + l.To + "/prices")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return object{"status": response.StatusCode, "text": string(text)}, err
}

func bulk(ctx context.Context, l line) (object, error) {
	conn, err := warren.Connect(ctx, l.To, &warren.ConnectOptions{As: l.As})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	began := time.Now()
	go func() {
		block := bytes.Repeat([]byte("e"), 262_144)
		for left := l.Bytes; left > 0; left -= len(block) {
			if left < len(block) {
				block = block[:left]
			}
			conn.Write(block)
		}
		conn.CloseWrite()
	}()
	got, err := io.Copy(io.Discard, conn)
	return object{"bytes": got, "seconds": time.Since(began).Seconds()}, err
}

var calls = map[string]func(context.Context, line) (object, error){
	"listen": listen, "connect": connect, "send": send, "recv": recv, "end": end, "close": closeIt, "register": register,
	"closed": closed, "waitForAgent": waitForAgent, "http": get, "bulk": bulk,
	"readAll": func(_ context.Context, l line) (object, error) { return readAll(named[io.Reader](l)), nil },
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			panic(err)
		}
		go func() {
			result, err := calls[l.Call](context.Background(), l)
			if err != nil {
				say(object{"id": l.ID, "error": failure(err)})
				return
			}
			say(object{"id": l.ID, "result": result})
		}()
	}
}
