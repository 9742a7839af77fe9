package kea

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// ControlConfig says where Kea's command API is.
type ControlConfig struct {
	// URL is unix:/path/of/socket or the path alone, or http:// or https:// with host and port. Over HTTP(S) it may be Kea's own socket
	// (since 3.0), the control agent, or the listener of Kea's HA hook.
	URL string

	User         string // of basic authentication; empty: none
	Password     string
	PasswordFile string // in place of Password; read for each command, a line end behind the password is not part of it

	// Of https. The files are PEM, and are read for each connection.
	CA          string // whose certificates Kea must show; empty: those that the system trusts
	Certificate string // what Kea is shown, if it asks; with Key
	Key         string
	ServerName  string // the name that Kea's certificate must bear; empty: the URL's host

	Timeout time.Duration // for one command; 0: DefaultTimeout
	Logger  *slog.Logger  // nil: none

	longest int // octets of an answer; 0: maxReply
}

// DefaultTimeout bounds the time that one command takes.
const DefaultTimeout = 30 * time.Second

// maxReply is how long an answer may be, in octets. Answers to config-get are the longest.
const maxReply = maxConfigOctets

// carrier brings a command to Kea and its answer back.
type carrier interface {
	// carry fails when there is no whole answer. An HTTP status is no failure.
	carry(ctx context.Context, command []byte) (answer, error)
	// close ends connections that are idle.
	close()
}

// answer is what came back.
type answer struct {
	body   []byte
	status int       // of HTTP; 0 without
	date   time.Time // of Kea's clock, in whole seconds; zero: not told
}

// Control asks Kea by its command API. Any number of goroutines may use it.
type Control struct {
	config  ControlConfig
	carrier carrier
	service bool // a control agent wants to know for whom a command is; whoever is not one does not mind

	clock dateClock
}

// NewControl makes a Control; it opens nothing. The error wraps ErrConfig.
func NewControl(config ControlConfig) (*Control, error) {
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.longest <= 0 {
		config.longest = maxReply
	}
	if strings.HasPrefix(config.URL, "/") {
		config.URL = "unix:" + config.URL
	}
	c := &Control{config: config}
	u, err := url.Parse(config.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: control: %w", ErrConfig, err)
	case u.User != nil:
		return nil, fmt.Errorf("%w: control: the URL has a password in it: give user and password file", ErrConfig)
	case u.Scheme == "unix" && u.Host == "" && u.Path != "" && u.Opaque == "":
		c.carrier = &unixCarrier{path: u.Path, longest: config.longest}
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		c.carrier, c.service = newHTTPCarrier(config), true
	default:
		return nil, fmt.Errorf("%w: control %q: want unix:/path, http://host:port/ or https://host:port/", ErrConfig, config.URL)
	}
	if config.User == "" && (config.Password != "" || config.PasswordFile != "") {
		return nil, fmt.Errorf("%w: control: a password without user", ErrConfig)
	}
	if (config.Certificate == "") != (config.Key == "") {
		return nil, fmt.Errorf("%w: control: certificate and key go together", ErrConfig)
	}
	return c, nil
}

// Close ends connections that are idle. The Control may be used afterwards.
func (c *Control) Close() { c.carrier.close() }

// Skew is Kea's clock minus this machine's, as answers over HTTP tell it, mostly within a second; measured is false when none did.
func (c *Control) Skew() (skew time.Duration, measured bool) { return c.clock.skew() }

// reply is Kea's answer to one command.
type reply struct {
	result    int
	text      string
	arguments json.RawMessage
	asked     time.Time // before the command was sent
	received  time.Time // when the answer was there
}

// ask sends a command and reads its answer. arguments is encoded as JSON; nil: none. The error is a *CommandError when Kea, or what
// stands before it, did not do it (empty, no error: the caller looks at result); it wraps ErrReply when the answer is not one of
// Kea's; else there was no answer.
func (c *Control) ask(ctx context.Context, command string, arguments any) (reply, error) {
	request := struct {
		Command   string   `json:"command"`
		Service   []string `json:"service,omitempty"`
		Arguments any      `json:"arguments,omitempty"`
	}{Command: command, Arguments: arguments}
	if c.service {
		request.Service = []string{"dhcp6"}
	}
	text, err := json.Marshal(request)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", command, err)
	}
	limited, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	asked := time.Now()
	a, err := c.carrier.carry(limited, text)
	if err != nil {
		return reply{}, fmt.Errorf("%s: Kea at %s: %w", command, c.config.URL, explained(err, c.config.Timeout))
	}
	received := time.Now()
	if !a.date.IsZero() {
		c.clock.note(a.date, asked, received)
	}
	r, err := parseReply(command, a)
	r.asked, r.received = asked, received
	return r, err
}

// parseReply reads an answer: an object, or a list of one. Its error is a *CommandError or wraps ErrReply.
func parseReply(command string, a answer) (reply, error) {
	var envelope struct {
		Result    *int            `json:"result"`
		Text      string          `json:"text"`
		Arguments json.RawMessage `json:"arguments"`
	}
	err := decodeOne(a.body, &envelope)
	if err == nil && envelope.Result == nil {
		err = fmt.Errorf("%w: no result in it", ErrReply)
	}
	failed := a.status != 0 && a.status != statusOK
	if err != nil && !failed {
		return reply{}, fmt.Errorf("%s: %w", command, err)
	}
	r := reply{text: envelope.Text, arguments: envelope.Arguments}
	if envelope.Result != nil {
		r.result = *envelope.Result
	}
	if failed || (r.result != resultSuccess && r.result != resultEmpty) {
		return reply{}, newCommandError(command, a.status, r)
	}
	return r, nil
}

// decodeOne decodes an object, or the only element of a list.
func decodeOne(text []byte, into any) error {
	if trimmed := strings.TrimLeft(string(text[:min(len(text), 64)]), " \t\r\n"); strings.HasPrefix(trimmed, "[") {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return fmt.Errorf("%w: %w", ErrReply, err)
		}
		if len(list) != 1 {
			return fmt.Errorf("%w: a list of %d, want one", ErrReply, len(list))
		}
		text = list[0]
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: %w", ErrReply, err)
	}
	return nil
}

// explained adds what people may do about an error of the network.
func explained(err error, timeout time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", timeout, err)
	}
	if hint := networkHint(err); hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}
