package dnsmasq

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"
)

// maxFile bounds the lease file, and the memory for it.
const maxFile = 512 << 20

// content is what the lease file was at a time.
type content struct {
	text     []byte
	modified time.Time
}

// same tells whether nothing was written between two reads.
func (c *content) same(o *content) bool {
	return c.modified.Equal(o.modified) && bytes.Equal(c.text, o.text)
}

// lacks is what a file lacks that dnsmasq has written wholly: the end of the last line, or the line of its own DUID, which it writes
// before any lease as long as it does DHCPv6, and when it starts. nil: nothing.
func (c *content) lacks() error {
	switch {
	case len(c.text) > 0 && c.text[len(c.text)-1] != '\n':
		return ErrTorn
	case !bytes.HasPrefix(c.text, []byte("duid ")) && !bytes.Contains(c.text, []byte("\nduid ")):
		return ErrNoDUID
	}
	return nil
}

// readFile reads the lease file as it is now, perhaps while it is written. It was last modified not later than content tells, unless
// it is not the same in the next read.
func readFile(path string) (*content, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open lease file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read lease file: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("read lease file: %w: more than %d octets", ErrLarge, maxFile)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at lease file: %w", err)
	}
	return &content{text, info.ModTime()}, nil
}

// survey is what a lease file says.
type survey struct {
	leases   map[netip.Addr]lease // of IPv6; transaction and valid are not set
	refused  map[netip.Addr]bool  // addresses of lines that cannot be used
	problems []LineError          // without the file
}

// parseLeases reads the text of a lease file. Of several lines of one address the last counts, as for dnsmasq.
func parseLeases(text []byte) survey {
	s := survey{leases: map[netip.Addr]lease{}, refused: map[netip.Addr]bool{}}
	for n := 1; len(text) > 0; n++ {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		text = rest
		l, ok, err := parseLine(string(line))
		if !whole && len(line) > 0 {
			ok, err = false, ErrTorn
		}
		switch {
		case err != nil:
			s.problems = append(s.problems, LineError{Line: n, Err: err, text: string(line[:min(len(line), 512)])})
			if l.address.IsValid() {
				s.refused[l.address] = true
			}
		case ok:
			s.leases[l.address] = l
			delete(s.refused, l.address)
		}
	}
	return s
}

// parseLine reads a line. ok is false when it is not of an IPv6 lease. With an error the lease has its address at most.
func parseLine(line string) (l lease, ok bool, err error) {
	fields := strings.Fields(line)
	switch {
	case len(fields) == 0:
		return lease{}, false, nil
	case fields[0] == "duid":
		if len(fields) != 2 {
			return lease{}, false, fmt.Errorf("%w: %d, want 2", ErrFields, len(fields))
		}
		_, err := parseDUID(fields[1])
		return lease{}, false, err
	case len(fields) == 5 && isIPv4(fields[2]), fields[0] == "vendorclass", fields[0] == "agent-info": // the latter: of dnsmasq 2.91
		return lease{}, false, nil
	case len(fields) < 5:
		return lease{}, false, fmt.Errorf("%w: %d, want 5", ErrFields, len(fields))
	}
	var problems [4]error
	l.address, problems[0] = parseAddress(fields[2])
	if len(fields) != 5 {
		return lease{address: l.address}, false, errors.Join(problems[0], fmt.Errorf("%w: %d, want 5", ErrFields, len(fields)))
	}
	l.expires, problems[1] = parseExpiry(fields[0])
	l.iaid, l.kind, problems[2] = parseIAID(fields[1])
	l.duid, problems[3] = parseDUID(fields[4])
	if fields[3] != "*" {
		l.name = fields[3]
	}
	for _, err := range problems {
		if err != nil {
			return lease{address: l.address}, false, err
		}
	}
	return l, true, nil
}

func isIPv4(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is4()
}
