package kea

import (
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestHints: who gets an error is told what to do, and nothing that is beside the point.
func TestHints(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "unix", Err: err} }
	for _, tc := range []struct {
		err  error
		want string // "": none
	}{
		{dial(syscall.ENOENT), "is Kea running"},
		{dial(syscall.ECONNREFUSED), "is Kea running"},
		{dial(syscall.EACCES), "run the agent as that user"},
		{fmt.Errorf("TLS: CA: %w", &fs.PathError{Op: "open", Path: "ca.pem", Err: syscall.ENOENT}), ""},
		{fmt.Errorf("password: %w", &fs.PathError{Op: "open", Path: "pw", Err: syscall.EACCES}), ""},
		{&url.Error{Op: "Post", Err: io.EOF}, "is it https://?"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "is it http://?"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(116)}, "give certificate and key"},
	} {
		if got := networkHint(tc.err); (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%v: hint %q, want one with %q", tc.err, got, tc.want)
		}
	}
	_, err := parseHeader([]byte("address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id"))
	if err == nil || !strings.Contains(err.Error(), "DHCPv4") {
		t.Errorf("the header of a DHCPv4 server: %v", err)
	}
	_, err = openSet(t.Context(), realDisk{}, filepath.Join(t.TempDir(), "absent"))
	if err == nil || !strings.Contains(err.Error(), "lease-database") {
		t.Errorf("no lease file: %v", err)
	}
}
