package store

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Conflicts is the bindings about which sources disagree, as a store knows them.
type Conflicts struct {
	Rows    []binding.Conflict // by address, then length, then the name of the source that lost
	Since   binding.Time       // what was said before and not again is not in Rows; 0: everything is
	Dropped uint64             // rows that had to make room for others, since the node began
	Total   map[binding.ConflictKind]uint64
}

// ConflictTotals counts the disagreements of each kind that were noted since the node began.
func (s *Store) ConflictTotals() map[binding.ConflictKind]uint64 {
	d := &s.disputes
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[binding.ConflictKind]uint64, len(d.total))
	for kind := binding.ClientKind; kind <= binding.EndedKind; kind++ {
		out[kind] = d.total[kind]
	}
	return out
}

// Conflicts gives what still matters of what lost. It may be called from any goroutine.
func (s *Store) Conflicts() Conflicts {
	d := &s.disputes
	d.mu.Lock()
	rows := make(map[disputeKey]dispute, len(d.rows))
	for k, row := range d.rows {
		rows[k] = *row
	}
	out := Conflicts{Since: d.since, Dropped: d.dropped}
	d.mu.Unlock()
	out.Total = s.ConflictTotals()
	v := s.View() // not older than the rows
	defer v.Release()
	for _, k := range slices.SortedFunc(maps.Keys(rows), compareDisputes) {
		row := rows[k]
		if c, ok := v.conflict(&k.address, &row); ok {
			out.Rows = append(out.Rows, c)
		}
	}
	slices.SortStableFunc(out.Rows, func(x, y binding.Conflict) int {
		return cmp.Or(x.Key.Prefix.Compare(y.Key.Prefix), cmp.Compare(x.Lost.Source, y.Lost.Source))
	})
	return out
}

func compareDisputes(x, y disputeKey) int {
	return cmp.Or(bytes.Compare(x.address.octets[:], y.address.octets[:]), cmp.Compare(x.address.bits, y.address.bits),
		cmp.Compare(x.source, y.source))
}

// conflict is a row as it stands in the view; ok is false when it is settled.
func (v *View) conflict(a *address, d *dispute) (c binding.Conflict, ok bool) {
	if src := &v.resyncs[d.lost.source-1]; d.lost.expiry() <= v.clock || src.gen != d.gen && !src.resyncing {
		return c, false // it has run out, or its source has stated everything since, without it
	}
	won, kind := d.won, d.kind
	if live, is := v.claim(a); is {
		if won = live; live.source == d.lost.source {
			return c, false
		}
		if kind, ok = d.lost.disagrees(&live); !ok {
			return c, false
		}
	} else if won.state == binding.Active {
		won.state, kind = binding.Deleted, binding.EndedKind // the one that won is gone, and this one has not come again
	}
	return binding.Conflict{
		Key: binding.Key{Prefix: a.prefix(), Delegated: a.delegated}, Kind: kind, First: d.first, Last: d.last,
		Lost: v.side(&d.lost), Won: v.side(&won), Tie: d.lost.lt == won.lt,
	}, true
}

func (v *View) side(c *claim) binding.Claim {
	return binding.Claim{Source: v.SourceName(c.source), DUID: c.duid, IAID: c.iaid, Valid: c.valid, LastTransaction: c.lt, State: c.state}
}

// claim is the binding in force.
func (v *View) claim(a *address) (c claim, ok bool) {
	var client binding.Client
	key := binding.Key{Prefix: a.prefix(), Delegated: a.delegated}
	for cursor := v.Select(binding.Query{By: binding.ByAddress, Key: key}); cursor.Next(&client); {
		for _, e := range client.Entries {
			if e.State == binding.Active && e.Prefix == key.Prefix && (e.Kind == binding.PD) == key.Delegated {
				return claim{e.Source, e.Kind, e.State, bytes.Clone(client.DUID), e.IAID, e.Valid, e.LastTransaction}, true
			}
		}
	}
	return c, false
}
