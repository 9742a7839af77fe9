package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// tlsFlags are the flags of commands that ask servers and may do so in TLS.
type tlsFlags struct {
	use   bool
	files starttls.ClientFiles
}

func (f *tlsFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.BoolVar(&f.use, "tls", false, "speak TLS (RFC 7653 8.2); wants --tls-cert and --tls-key")
	fl.StringVar(&f.files.CA, "tls-ca", "", "PEM file of the authorities that servers' certificates must lead to (default: the system's)")
	fl.StringVar(&f.files.Certificate, "tls-cert", "", "PEM file of the certificate to show, with what leads to its root")
	fl.StringVar(&f.files.Key, "tls-key", "", "PEM file of its key")
	fl.StringVar(&f.files.ServerName, "tls-server-name", "", "name or address that servers' certificates must bear (default: as in --server)")
}

// client is the requestor's side of TLS, or nil to speak in clear.
func (f *tlsFlags) client() (*starttls.Client, error) {
	if !f.use {
		if f.files != (starttls.ClientFiles{}) {
			return nil, errors.New("--tls-ca, --tls-cert, --tls-key and --tls-server-name go with --tls")
		}
		return nil, nil
	}
	if f.files.Certificate == "" || f.files.Key == "" {
		return nil, errors.New("--tls wants --tls-cert and --tls-key: servers want to see a certificate (`leasehold tls requestor` makes one)")
	}
	return starttls.NewClient(f.files)
}
