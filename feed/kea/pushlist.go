package kea

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// failedMost bounds the leases that an answer lists as failed: a request of nothing but rubbish is not worth more.
const failedMost = 100

// failedLease is a lease of a request that cannot be used, as Kea lists it.
type failedLease struct {
	Type    json.RawMessage `json:"type,omitempty"`
	Address json.RawMessage `json:"ip-address,omitempty"`
	Subnet  json.RawMessage `json:"subnet-id,omitempty"`
	Result  int             `json:"result"`
	Message string          `json:"error-message"`
}

// failures are those of a request.
type failures struct {
	Leases  []failedLease `json:"failed-leases,omitempty"`
	Deleted []failedLease `json:"failed-deleted-leases,omitempty"`
	count   int
}

// add puts a lease on one of the lists, as long as they are short.
func (f *failures) add(listed *[]failedLease, text json.RawMessage, err error) {
	if f.count++; f.count <= failedMost {
		*listed = append(*listed, failure(text, err))
	}
}

// list is one of the lists of lease6-bulk-apply, its leases not yet cut: there may be very many small ones.
type list json.RawMessage

// UnmarshalJSON takes a list, or null.
func (l *list) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	switch {
	case bytes.Equal(text, []byte("null")):
		*l = nil
	case bytes.HasPrefix(text, []byte{'['}):
		*l = bytes.Clone(text)
	default:
		return fmt.Errorf("%w: %.20q in place of a list of leases", errJSON, text)
	}
	return nil
}

// each runs f for each lease; text holds until f returns.
func (l list) each(f func(i int, text json.RawMessage)) error {
	if len(l) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(l))
	if _, err := d.Token(); err != nil {
		return err
	}
	var text json.RawMessage
	for i := 0; d.More(); i++ {
		if err := d.Decode(&text); err != nil {
			return err
		}
		f(i, text)
	}
	return nil
}

// failure lists a lease as far as it tells what it is.
func failure(text json.RawMessage, err error) failedLease {
	const most = 100 // octets of a member worth sending back
	var f failedLease
	if json.Unmarshal(text, &f) != nil {
		f = failedLease{}
	}
	for _, member := range []*json.RawMessage{&f.Type, &f.Address, &f.Subnet} {
		if len(*member) > most {
			*member = nil
		}
	}
	f.Result, f.Message = resultError, err.Error()
	return f
}
