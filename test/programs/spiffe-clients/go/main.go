// Clients of a SPIFFE socket that others wrote, for Go.
//
//	clients ADDRESS go-spiffe     go-spiffe's sources of X.509-SVIDs, JWT-SVIDs and WIT-SVIDs
//	clients ADDRESS envoy         the client that go-control-plane generates from Envoy's own definitions
//	clients ADDRESS spire-agent   `spire-agent api fetch x509` and its siblings
//
// Each prints a line for all that it got, and another one when its certificate was renewed.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"github.com/spiffe/spire/cmd/spire-agent/cli/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	clients := map[string]func(context.Context, string) error{"go-spiffe": goSpiffe, "envoy": envoy, "spire-agent": spireAgent}
	if err := clients[os.Args[2]](ctx, os.Args[1]); err != nil {
		fmt.Println("failed:", strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(1)
	}
}

func goSpiffe(ctx context.Context, address string) error {
	at := workloadapi.WithClientOptions(workloadapi.WithAddr(address))
	source, err := workloadapi.NewX509Source(ctx, at)
	if err != nil {
		return err
	}
	defer source.Close()
	svid, err := source.GetX509SVID()
	if err != nil {
		return err
	}
	bundles, err := workloadapi.NewBundleSource(ctx, at)
	if err != nil {
		return err
	}
	defer bundles.Close()
	jwts, err := workloadapi.NewJWTSource(ctx, at)
	if err != nil {
		return err
	}
	defer jwts.Close()
	token, err := jwts.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "db"})
	if err != nil {
		return err
	}
	if _, err := jwtsvid.ParseAndValidate(token.Marshal(), bundles, []string{"db"}); err != nil {
		return err
	}
	wits, err := workloadapi.NewWITSource(ctx, at)
	if err != nil {
		return err
	}
	defer wits.Close()
	wit, err := wits.GetWITSVIDForID(svid.ID)
	if err != nil {
		return err
	}
	verified, err := witsvid.ParseAndValidate(wit.Marshal(), wits)
	if err != nil {
		return err
	}
	if !wit.PrivateKey.(*ecdsa.PrivateKey).PublicKey.Equal(verified.PublicKey) {
		return fmt.Errorf("the key is not that of the token")
	}
	fmt.Println("got", svid.ID, token.ID, wit.ID)
	first := svid.Certificates[0].SerialNumber
	for {
		if err := source.WaitUntilUpdated(ctx); err != nil {
			return err
		}
		next, err := source.GetX509SVID()
		if err != nil {
			return err
		}
		if next.Certificates[0].SerialNumber.Cmp(first) != 0 {
			fmt.Println("renewed", next.ID)
			return nil
		}
	}
}

func envoy(ctx context.Context, address string) error {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	stream, err := secret.NewSecretDiscoveryServiceClient(connection).StreamSecrets(ctx)
	if err != nil {
		return err
	}
	request := &discovery.DiscoveryRequest{
		Node:          &core.Node{Id: "test", Cluster: "test"},
		ResourceNames: []string{"default", "ROOTCA"},
		TypeUrl:       "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
	}
	words := []string{"got", "renewed"}
	before := ""
	for len(words) > 0 {
		if err := stream.Send(request); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		request.VersionInfo, request.ResponseNonce = answer.VersionInfo, answer.Nonce
		leaf, err := leafOf(answer)
		if err != nil {
			return err
		}
		if serial := leaf.SerialNumber.String(); serial != before {
			fmt.Println(words[0], leaf.URIs[0])
			before, words = serial, words[1:]
		}
	}
	return nil
}

// The leaf for `default`, which the roots for `ROOTCA` verify.
func leafOf(answer *discovery.DiscoveryResponse) (*x509.Certificate, error) {
	var chain []*x509.Certificate
	roots := x509.NewCertPool()
	for _, resource := range answer.Resources {
		found := &tls.Secret{}
		if err := resource.UnmarshalTo(found); err != nil {
			return nil, err
		}
		if found.Name == "default" {
			rest := found.GetTlsCertificate().GetCertificateChain().GetInlineBytes()
			for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
				certificate, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					return nil, err
				}
				chain = append(chain, certificate)
			}
			continue
		}
		config := &tls.SPIFFECertValidatorConfig{}
		if err := found.GetValidationContext().GetCustomValidatorConfig().GetTypedConfig().UnmarshalTo(config); err != nil {
			return nil, err
		}
		roots.AppendCertsFromPEM(config.TrustDomains[0].TrustBundle.GetInlineBytes())
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return chain[0], err
}

func spireAgent(_ context.Context, address string) error {
	socket := "-socketPath=" + strings.TrimPrefix(address, "unix://")
	if code := api.NewFetchX509Command().Run([]string{socket}); code != 0 {
		return fmt.Errorf("fetch x509 ended with %d", code)
	}
	if code := api.NewFetchJWTCommand().Run([]string{socket, "-audience=db"}); code != 0 {
		return fmt.Errorf("fetch jwt ended with %d", code)
	}
	return nil
}
