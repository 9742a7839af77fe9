package kea

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Why a command was not done; a *CommandError is one of them.
var (
	ErrUnsupported  = errors.New("Kea does not know the command")
	ErrForbidden    = errors.New("the command is forbidden")
	ErrUnauthorized = errors.New("user or password is not accepted")
)

// ErrReply is wrapped when an answer is not one of Kea's.
var ErrReply = errors.New("not an answer of Kea's")

const statusOK = http.StatusOK

// Kea's result codes.
const (
	resultSuccess     = 0
	resultUnsupported = 2
	resultEmpty       = 3
)

// CommandError tells that Kea, or what stands before it, did not do a command.
type CommandError struct {
	Command string
	Status  int    // of HTTP; 0 without
	Result  int    // Kea's result code
	Text    string // what was said about it
	Hint    string // what people may do about it; may be empty
}

// Error is the command, what was said, and what to do.
func (e *CommandError) Error() string {
	s := e.Command + ": "
	if e.Status != 0 && e.Status != statusOK {
		s += fmt.Sprintf("HTTP status %d", e.Status)
	} else {
		s += fmt.Sprintf("result %d", e.Result)
	}
	if e.Text != "" {
		s += fmt.Sprintf(": %s", e.Text)
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Is tells whether it is ErrUnsupported, ErrForbidden or ErrUnauthorized.
func (e *CommandError) Is(target error) bool {
	switch target {
	case ErrUnsupported:
		return e.ok() && e.Result == resultUnsupported
	case ErrForbidden:
		return e.Status == http.StatusForbidden || (e.ok() && e.Result == http.StatusForbidden)
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized || (e.ok() && e.Result == http.StatusUnauthorized)
	}
	return false
}

func (e *CommandError) ok() bool { return e.Status == 0 || e.Status == statusOK }

func newCommandError(command string, status int, r reply) *CommandError {
	const most = 300 // octets of a text worth showing
	e := &CommandError{Command: command, Status: status, Result: r.result, Text: strings.ToValidUTF8(r.text[:min(len(r.text), most)], "?")}
	switch {
	case errors.Is(e, ErrUnsupported) && strings.HasPrefix(command, "lease6-"):
		e.Hint = hookHint("libdhcp_lease_cmds.so")
	case errors.Is(e, ErrUnsupported) && strings.HasPrefix(command, "ha-"):
		e.Hint = hookHint("libdhcp_ha.so")
	case errors.Is(e, ErrForbidden):
		e.Hint = "who asks may not use this command: with the HA hook's listener set its restrict-commands to false, or ask Kea's own control socket"
	case errors.Is(e, ErrUnauthorized):
		e.Hint = "give user and password file as in authentication.clients of Kea's control socket, or basic-auth-user of the HA peer"
	case strings.Contains(r.text, "forwarding socket is not configured"):
		e.Hint = "name Kea's unix socket under control-sockets.dhcp6 of the control agent's configuration"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		e.Hint = "is this the address of Kea's command API?"
	}
	return e
}

// hookHint tells how a hook library is loaded.
func hookHint(library string) string {
	return fmt.Sprintf(`Kea has not loaded the hook: add {"library": "/usr/lib/x86_64-linux-gnu/kea/hooks/%s"} to "hooks-libraries" of its "Dhcp6", `+
		"with the path of your system, and restart it", library)
}

// networkHint tells what people may do when there is no answer; it may be empty.
func networkHint(err error) string {
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var notTLS tls.RecordHeaderError
	var dialled *net.OpError
	dialling := errors.As(err, &dialled) && dialled.Op == "dial"
	switch {
	case errors.As(err, &name):
		return "Kea itself does not look at names in certificates: set server_name to one that this certificate bears"
	case errors.As(err, &unknown):
		return "name the authority that made Kea's certificate as ca"
	case errors.As(err, &notTLS), strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
		return "no TLS is spoken there: is it http://?"
	case strings.Contains(err.Error(), "tls: certificate required"), strings.Contains(err.Error(), "tls: handshake failure"):
		return "Kea asks for a certificate: give certificate and key"
	case dialling && (errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)):
		return `is Kea running, and is this the address of its command API ("control-socket" of its "Dhcp6", since 3.0 "control-sockets")?`
	case dialling && errors.Is(err, fs.ErrPermission):
		return "only Kea's user may connect to the socket: run the agent as that user, _kea on Debian"
	case errors.Is(err, io.EOF):
		return "closed without an answer: is it https://?"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return "is this the address of Kea's command API?"
	}
	return ""
}
