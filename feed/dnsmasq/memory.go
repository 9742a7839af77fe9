package dnsmasq

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// memory keeps on disk what is known of leases beyond the lease file: a journal of lines of JSON, of which the last of an address
// counts. It is written anew at its opening, when most of its lines are superseded, and when a line could not be written. A whole
// journal is synced before it takes the old one's place; the lines behind that are not, so that a crash of the machine costs the last
// seconds' leases their relays, until these clients get new leases.
type memory struct {
	path  string
	file  *os.File
	lines int
}

// entry is a line of it.
type entry struct {
	Address     netip.Addr   `json:"address"`
	Gone        bool         `json:"gone,omitempty"`
	Kind        binding.Kind `json:"kind,omitempty"`
	DUID        string       `json:"duid,omitempty"`
	IAID        uint32       `json:"iaid,omitempty"`
	Name        string       `json:"name,omitempty"`
	Expires     int64        `json:"expires,omitempty"`
	Transaction int64        `json:"transaction,omitempty"`
	Valid       uint32       `json:"valid,omitempty"`
	Guessed     bool         `json:"guessed,omitempty"`
	Relay       netip.Addr   `json:"relay,omitzero"`
}

// openMemory opens the journal and gives what it remembers. Lines that cannot be read are passed over.
func openMemory(path string) (*memory, map[netip.Addr]lease, error) {
	leases, err := readMemory(path)
	if err != nil {
		return nil, nil, err
	}
	m := &memory{path: path}
	return m, leases, m.rewrite(leases)
}

func readMemory(path string) (map[netip.Addr]lease, error) {
	leases := map[netip.Addr]lease{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return leases, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open state file: %w", err)
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, maxEvent)
	for long := false; ; {
		line, more, err := lines.ReadLine()
		switch {
		case errors.Is(err, io.EOF):
			return leases, nil
		case err != nil:
			return nil, fmt.Errorf("read state file: %w", err)
		case !long && !more:
			remember(line, leases)
		}
		long = more
	}
}

// remember takes a line of the journal, unless it cannot be read.
func remember(line []byte, leases map[netip.Addr]lease) {
	var e entry
	if err := json.Unmarshal(line, &e); err != nil {
		return
	}
	duid, err := hex.DecodeString(e.DUID)
	switch {
	case err != nil || !e.Address.Is6() || len(duid) > binding.MaxDUID || e.Kind > binding.TA:
	case e.Gone:
		delete(leases, e.Address)
	case len(duid) > 0 && e.Valid > 0:
		leases[e.Address] = lease{address: e.Address, kind: e.Kind, duid: string(duid), iaid: e.IAID, name: e.Name, expires: e.Expires,
			transaction: e.Transaction, valid: e.Valid, guessed: e.Guessed, relay: e.Relay}
	}
}

// close closes the journal.
func (m *memory) close() error {
	if m == nil || m.file == nil {
		return nil
	}
	err := m.file.Close()
	m.file = nil
	return err
}

// rewrite makes a journal of what is so now.
func (m *memory) rewrite(leases map[netip.Addr]lease) error {
	if err := m.close(); err != nil {
		return fmt.Errorf("close state file: %w", err)
	}
	next, err := os.OpenFile(m.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("create state file: %w", err)
	}
	w := bufio.NewWriter(next)
	for _, a := range slices.SortedFunc(maps.Keys(leases), netip.Addr.Compare) {
		l := leases[a]
		line, err := json.Marshal(entryOf(&l))
		if err == nil {
			_, err = w.Write(append(line, '\n'))
		}
		if err != nil {
			return errors.Join(fmt.Errorf("write state file: %w", err), next.Close())
		}
	}
	if err := errors.Join(w.Flush(), next.Sync()); err != nil {
		return errors.Join(fmt.Errorf("write state file: %w", err), next.Close())
	}
	if err := os.Rename(next.Name(), m.path); err != nil {
		return errors.Join(fmt.Errorf("replace state file: %w", err), next.Close())
	}
	m.file, m.lines = next, len(leases)
	return nil
}

func entryOf(l *lease) entry {
	return entry{Address: l.address, Kind: l.kind, DUID: hex.EncodeToString([]byte(l.duid)), IAID: l.iaid, Name: l.name, Expires: l.expires,
		Transaction: l.transaction, Valid: l.valid, Guessed: l.guessed, Relay: l.relay}
}

// note appends to the journal. all is what is so now, for when it is written anew.
func (m *memory) note(e entry, all map[netip.Addr]lease) error {
	if m.file == nil || m.lines > 1024+2*len(all) {
		if err := m.rewrite(all); err != nil {
			return err
		}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode for state file: %w", err)
	}
	m.lines++
	if _, err := m.file.Write(append(line, '\n')); err != nil {
		// What follows a part of a line would be lost too: the next note writes all of it anew.
		return fmt.Errorf("write state file: %w", errors.Join(err, m.close()))
	}
	return nil
}
