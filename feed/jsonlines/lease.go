package jsonlines

import (
	"math"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// keyObject names a binding and its client, and says when.
type keyObject struct {
	Change     string   `json:"change"`
	Address    string   `json:"address"`
	Prefix     string   `json:"prefix"`
	Temporary  bool     `json:"temporary"`
	DUID       string   `json:"duid"`
	IAID       *uint32  `json:"iaid"`
	AgeSeconds *float64 `json:"age_seconds"`
	Source     string   `json:"source"` // what `leasehold bindings --json` prints, not heeded
	State      string   `json:"state"`  // the same; a lease's may only be active
}

// leaseObject is a lease.
type leaseObject struct {
	keyObject
	Preferred       *uint32        `json:"preferred"`
	Valid           *uint32        `json:"valid"`
	LastTransaction *float64       `json:"last_transaction"`
	Link            string         `json:"link"`
	Sender          string         `json:"sender"`
	Relays          []relayObject  `json:"relays"`
	Options         []optionObject `json:"options"`
}

// endObject is the end of a lease.
type endObject struct {
	keyObject
	Reason string   `json:"reason"`
	Ended  *float64 `json:"ended"`
}

func parseLease(octets []byte) (line, error) {
	var o leaseObject
	if err := decode(octets, &o, true); err != nil {
		return line{}, err
	}
	l := &ingestv1.Lease{LinkName: o.Link}
	kind, prefix, duid, err := o.key()
	if err != nil {
		return line{}, err
	}
	switch {
	case duid == nil:
		return line{}, wrong("duid", "missing")
	case o.IAID == nil:
		return line{}, wrong("iaid", "missing")
	case o.Valid == nil:
		return line{}, wrong("valid", "missing")
	case *o.Valid == 0:
		return line{}, wrong("valid", `0: a lease that is over is {"change":"end"}`)
	case o.State != "" && o.State != binding.Active.String():
		return line{}, wrong("state", `%.40q: a lease that is over is {"change":"end"}`, o.State)
	case len(o.Link) > binding.MaxLinkName:
		return line{}, wrong("link", "%d octets, want at most %d", len(o.Link), binding.MaxLinkName)
	}
	l.Kind, l.Address, l.PrefixLength = ingestv1.Kind(kind), prefix.Addr().AsSlice(), uint32(prefix.Bits())
	l.Duid, l.Iaid, l.Valid, l.Preferred = duid, *o.IAID, *o.Valid, *o.Valid
	if o.Preferred != nil {
		l.Preferred = min(*o.Preferred, *o.Valid)
	}
	at, err := when(o.AgeSeconds, o.LastTransaction, "last_transaction")
	if err != nil {
		return line{}, err
	}
	if err := o.fillRelays(l); err != nil {
		return line{}, err
	}
	if l.Options, err = appendOptions(nil, "options", o.Options, binding.MaxOptions); err != nil {
		return line{}, err
	}
	return line{change: &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: l}}, at: at}, nil
}

func parseEnd(octets []byte) (line, error) {
	var o endObject
	if err := decode(octets, &o, true); err != nil {
		return line{}, err
	}
	kind, prefix, duid, err := o.key()
	if err != nil {
		return line{}, err
	}
	e := &ingestv1.End{Kind: ingestv1.Kind(kind), Address: prefix.Addr().AsSlice(), PrefixLength: uint32(prefix.Bits()), Duid: duid}
	switch {
	case duid != nil && o.IAID == nil:
		return line{}, wrong("iaid", "missing, and duid is not")
	case duid == nil && o.IAID != nil:
		return line{}, wrong("duid", "missing, and iaid is not")
	case o.IAID != nil:
		e.Iaid = *o.IAID
	}
	reasons := map[string]ingestv1.Reason{"": ingestv1.Reason_REASON_DELETED, "deleted": ingestv1.Reason_REASON_DELETED,
		"expired": ingestv1.Reason_REASON_EXPIRED, "released": ingestv1.Reason_REASON_RELEASED, "declined": ingestv1.Reason_REASON_DECLINED}
	reason, known := reasons[o.Reason]
	if !known {
		return line{}, wrong("reason", "%.40q: want deleted, expired, released or declined", o.Reason)
	}
	e.Reason = reason
	at, err := when(o.AgeSeconds, o.Ended, "ended")
	if err != nil {
		return line{}, err
	}
	return line{change: &ingestv1.Change{Change: &ingestv1.Change_End{End: e}}, at: at}, nil
}

// key reads what names the binding and the client; duid is nil when there is none.
func (o *keyObject) key() (kind binding.Kind, prefix netip.Prefix, duid []byte, err error) {
	field := "address"
	switch {
	case (o.Address == "") == (o.Prefix == ""):
		return 0, prefix, nil, wrong("address", "want either address or prefix")
	case o.Prefix != "":
		kind, field = binding.PD, "prefix"
		if prefix, err = netip.ParsePrefix(o.Prefix); err != nil {
			return 0, prefix, nil, wrong(field, "%w", err)
		}
		if o.Temporary {
			return 0, prefix, nil, wrong("temporary", "a delegated prefix is not")
		}
	default:
		a, errAddr := netip.ParseAddr(o.Address)
		if errAddr != nil {
			return 0, prefix, nil, wrong(field, "%w", errAddr)
		}
		if a.Zone() != "" {
			return 0, prefix, nil, wrong(field, "%q has a zone", o.Address)
		}
		prefix = netip.PrefixFrom(a, a.BitLen())
		if o.Temporary {
			kind = binding.TA
		}
	}
	test := binding.Change{Event: binding.End, Reason: binding.Deleted, Binding: binding.Binding{Kind: kind, Prefix: prefix}}
	if err := test.Validate(); err != nil {
		return 0, prefix, nil, wrong(field, "%w", err)
	}
	if o.DUID == "" {
		return kind, prefix, nil, nil
	}
	if duid, err = hexField("duid", o.DUID, binding.MaxDUID); err != nil {
		return 0, prefix, nil, err
	}
	return kind, prefix, duid, nil
}

// maxSeconds bounds times and ages: they are cut at a hundred years by whoever reads them.
const maxSeconds = 1 << 40

// when reads the two ways to say when something was; without either it is now.
func when(age, at *float64, name string) (moment, error) {
	switch {
	case age != nil && at != nil:
		return moment{}, wrong("age_seconds", "want either age_seconds or %s", name)
	case age != nil && math.Abs(*age) > maxSeconds:
		return moment{}, wrong("age_seconds", "%v seconds", *age)
	case at != nil && math.Abs(*at) > maxSeconds:
		return moment{}, wrong(name, "%v: want seconds since 1970", *at)
	case age != nil:
		return moment{ms: int64(math.Round(*age * 1000))}, nil
	case at != nil:
		return moment{absolute: true, ms: int64(math.Round(*at * 1000))}, nil
	}
	return moment{}, nil
}

// hexField reads a member of 1 to limit octets in hex.
func hexField(name, text string, limit int) ([]byte, error) {
	b, err := binding.ParseHex(text)
	if err != nil {
		return nil, wrong(name, "%w", err)
	}
	if len(b) == 0 || len(b) > limit {
		return nil, wrong(name, "%d octets, want 1 to %d", len(b), limit)
	}
	return b, nil
}
