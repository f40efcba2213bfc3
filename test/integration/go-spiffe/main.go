// A workload that knows nothing of warren: it speaks the SPIFFE Workload API through go-spiffe, and mTLS with another of its kind.
//
//	go-spiffe SOCKET [PEER-ID ADDRESS]
//
// Without a peer it serves: prints its address, and greets each client that its source of identities accepts. A line on
// standard input makes it print the serial number of its certificate of that moment.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	client := workloadapi.WithClientOptions(workloadapi.WithAddr("unix://" + args[0]))
	source, err := workloadapi.NewX509Source(ctx, client)
	if err != nil {
		return err
	}
	defer source.Close()
	svid, err := source.GetX509SVID()
	if err != nil {
		return err
	}
	bundle, err := source.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
	if err != nil {
		return err
	}
	fmt.Println("svid", svid.ID, len(svid.Certificates), len(bundle.X509Authorities()))
	if len(args) > 1 {
		return ask(source, args[1], args[2])
	}
	return serve(source)
}

func serve(source *workloadapi.X509Source) error {
	svid, err := source.GetX509SVID()
	if err != nil {
		return err
	}
	config := tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeMemberOf(svid.ID.TrustDomain()))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	fmt.Println("serving", listener.Addr())
	go func() {
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			if svid, err := source.GetX509SVID(); err == nil {
				fmt.Println("serial", svid.Certificates[0].SerialNumber.Text(16))
			}
		}
	}()
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		secured := connection.(*tls.Conn)
		if err := secured.Handshake(); err != nil {
			fmt.Println("refused", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			leaf := secured.ConnectionState().PeerCertificates[0]
			fmt.Println("accepted", leaf.URIs[0])
			fmt.Fprintln(secured, "hello", leaf.URIs[0])
		}
		secured.Close()
	}
}

func ask(source *workloadapi.X509Source, peer string, address string) error {
	id, err := spiffeid.FromString(peer)
	if err != nil {
		return err
	}
	connection, err := tls.Dial("tcp", address, tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(id)))
	if err != nil {
		return err
	}
	defer connection.Close()
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	fmt.Print("heard ", answer)
	return nil
}
