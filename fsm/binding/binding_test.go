package binding

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func validBinding() Binding {
	return Binding{Kind: NA, Prefix: prefix("2001:db8::1/128"), DUID: []byte{0, 3, 1}, IAID: 7, Preferred: 100, Valid: 200}
}

// wantInvalid wants an error that wraps ErrInvalid and says text; no error for "".
func wantInvalid(t *testing.T, what string, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case text != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), text)):
		t.Errorf("%s: error %v, want one that says %q", what, err, text)
	}
}

func TestValidateBinding(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Binding)
		text   string
	}{
		"as it is":             {func(*Binding) {}, ""},
		"temporary":            {func(b *Binding) { b.Kind = TA }, ""},
		"delegated":            {func(b *Binding) { b.Kind, b.Prefix = PD, prefix("2001:db8::/48") }, ""},
		"delegated of 128":     {func(b *Binding) { b.Kind = PD }, ""},
		"infinite":             {func(b *Binding) { b.Valid, b.Preferred = Infinity, Infinity }, ""},
		"preferred over valid": {func(b *Binding) { b.Preferred = 300 }, ""},
		"longest fields": {func(b *Binding) {
			b.DUID, b.LinkName = make([]byte, MaxDUID), make([]byte, MaxLinkName)
			b.Options = options(1, string(make([]byte, MaxOptions-4)))
		}, ""},
		"unique local":     {func(b *Binding) { b.Prefix = prefix("fd00::1/128") }, ""},
		"kind 3":           {func(b *Binding) { b.Kind = 3 }, "kind 3"},
		"no prefix":        {func(b *Binding) { b.Prefix = netip.Prefix{} }, "is not IPv6"},
		"IPv4":             {func(b *Binding) { b.Prefix = prefix("192.0.2.1/32") }, "is not IPv6"},
		"IPv4-mapped":      {func(b *Binding) { b.Prefix = netip.PrefixFrom(addr("::ffff:192.0.2.1"), 128) }, "is not IPv6"},
		"host bits":        {func(b *Binding) { b.Kind, b.Prefix = PD, netip.PrefixFrom(addr("2001:db8::1"), 64) }, "bits behind its length"},
		"an address of 64": {func(b *Binding) { b.Prefix = prefix("2001:db8::/64") }, "an address needs length 128, not 64"},
		"unspecified":      {func(b *Binding) { b.Prefix = prefix("::/128") }, "not a global unicast"},
		"loopback":         {func(b *Binding) { b.Prefix = prefix("::1/128") }, "not a global unicast"},
		"multicast":        {func(b *Binding) { b.Prefix = prefix("ff02::1/128") }, "not a global unicast"},
		"link-local":       {func(b *Binding) { b.Prefix = prefix("fe80::1/128") }, "not a global unicast"},
		"everything":       {func(b *Binding) { b.Kind, b.Prefix = PD, prefix("::/0") }, "not a global unicast"},
		"no duid":          {func(b *Binding) { b.DUID = nil }, "duid of 0 octets"},
		"long duid":        {func(b *Binding) { b.DUID = make([]byte, 131) }, "duid of 131 octets"},
		"valid 0":          {func(b *Binding) { b.Valid = 0 }, "valid lifetime 0"},
		"long link name":   {func(b *Binding) { b.LinkName = make([]byte, 256) }, "link name of 256 octets"},
		"too many options": {func(b *Binding) { b.Options = make([]byte, MaxOptions+4) }, "client options of 4100 octets"},
		"an option cut":    {func(b *Binding) { b.Options = []byte{0, 1, 0, 2, 9} }, "client options: invalid: option 1 at offset 0 has 1 octets of 2"},
		"a chain cut":      {func(b *Binding) { b.Chain = make(Chain, 20) }, "relay chain broken off at level 0"},
	} {
		b := validBinding()
		tc.change(&b)
		wantInvalid(t, name, b.Validate(), tc.text)
		c := Change{Event: Upsert, Binding: b}
		wantInvalid(t, name+", upsert", c.Validate(), tc.text)
	}
}

func TestValidateEnd(t *testing.T) {
	end := func(change func(*Change)) error {
		c := Change{Event: End, Reason: Released, Binding: Binding{Prefix: prefix("2001:db8::1/128"), DUID: []byte{1}}}
		change(&c)
		return c.Validate()
	}
	for _, r := range []State{Expired, Released, Declined, Deleted} {
		wantInvalid(t, r.String(), end(func(c *Change) { c.Reason = r }), "")
	}
	for _, r := range []State{Active, Reassigned, Swept, Moved, 99} {
		wantInvalid(t, r.String(), end(func(c *Change) { c.Reason = r }), "a source may not report the end "+r.String())
	}
	wantInvalid(t, "without duid", end(func(c *Change) { c.Binding.DUID = nil }), "")
	wantInvalid(t, "long duid", end(func(c *Change) { c.Binding.DUID = make([]byte, 131) }), "duid of 131 octets")
	wantInvalid(t, "no prefix", end(func(c *Change) { c.Binding.Prefix = netip.Prefix{} }), "is not IPv6")
}

func TestValidateOtherEvents(t *testing.T) {
	link := Link{Label: "lan", Prefixes: []netip.Prefix{prefix("2001:db8::/64")}}
	for name, tc := range map[string]struct {
		change Change
		text   string
	}{
		"define":               {Change{Event: DefineLink, Link: &link}, ""},
		"define nothing":       {Change{Event: DefineLink}, "define-link without link"},
		"define an empty link": {Change{Event: DefineLink, Link: &Link{}}, "link label of 0 octets"},
		"remove":               {Change{Event: RemoveLink, Link: &Link{Label: "lan"}}, ""},
		"remove nothing":       {Change{Event: RemoveLink}, "remove-link without a label"},
		"remove no label":      {Change{Event: RemoveLink, Link: &Link{}}, "remove-link without a label"},
		"remove a long label":  {Change{Event: RemoveLink, Link: &Link{Label: strings.Repeat("x", 256)}}, "remove-link without a label"},
		"event 0":              {Change{}, "event 0"},
		"event 5":              {Change{Event: 5}, "event 5"},
	} {
		wantInvalid(t, name, tc.change.Validate(), tc.text)
	}
}

func TestValidateLink(t *testing.T) {
	many := func(n int) []netip.Prefix {
		out := make([]netip.Prefix, n)
		for i := range out {
			out[i] = prefix("2001:db8::/64")
		}
		return out
	}
	for name, tc := range map[string]struct {
		change func(*Link)
		text   string
	}{
		"as it is":          {func(*Link) {}, ""},
		"no label":          {func(l *Link) { l.Label = "" }, "link label of 0 octets"},
		"long label":        {func(l *Link) { l.Label = strings.Repeat("x", 256) }, "link label of 256 octets"},
		"no prefix":         {func(l *Link) { l.Prefixes = nil }, `link "lan" has 0 prefixes`},
		"too many prefixes": {func(l *Link) { l.Prefixes = many(1025) }, `link "lan" has 1025 prefixes`},
		"host bits":         {func(l *Link) { l.Prefixes = []netip.Prefix{netip.PrefixFrom(addr("2001:db8::1"), 64)} }, `link "lan": invalid: prefix 2001:db8::1/64 has bits behind`},
		"too many relays":   {func(l *Link) { l.Relays = make([]netip.Addr, 1025) }, "1025 relay addresses"},
		"link-local relay":  {func(l *Link) { l.Relays = []netip.Addr{addr("fe80::1")} }, "relay address fe80::1 is not a global"},
		"relay with a zone": {func(l *Link) { l.Relays = []netip.Addr{addr("2001:db8::1%eth0")} }, "is not a global"},
		"mapped relay":      {func(l *Link) { l.Relays = []netip.Addr{addr("::ffff:192.0.2.1")} }, "is not a global"},
		"no relay":          {func(l *Link) { l.Relays = []netip.Addr{{}} }, "is not a global"},
		"too many names":    {func(l *Link) { l.Names = make([]string, 1025) }, "1025 names"},
		"empty name":        {func(l *Link) { l.Names = []string{"1", ""} }, `link "lan": name of 0 octets`},
		"long name":         {func(l *Link) { l.Names = []string{strings.Repeat("x", 256)} }, `link "lan": name of 256 octets`},
	} {
		l := Link{Label: "lan", Names: []string{"1"}, Prefixes: []netip.Prefix{prefix("2001:db8::/64")}, Relays: []netip.Addr{addr("2001:db8::1")}}
		tc.change(&l)
		wantInvalid(t, name, l.Validate(), tc.text)
	}
}

func TestKeys(t *testing.T) {
	na, pd := validBinding(), validBinding()
	pd.Kind = PD
	if na.Key() == pd.Key() {
		t.Error("an address and a delegated prefix of 128 bits have one key")
	}
	for key, want := range map[Key]string{
		na.Key(): "2001:db8::1", pd.Key(): "2001:db8::1/128", {Prefix: prefix("2001:db8::/56"), Delegated: true}: "2001:db8::/56",
	} {
		if key.String() != want {
			t.Errorf("key %q, want %q", key, want)
		}
	}
}

func TestHexOctets(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []byte
		err  string
	}{
		{"", []byte{}, ""},
		{"0002AbfF", []byte{0, 2, 0xab, 0xff}, ""},
		{"00:02:ab:ff", []byte{0, 2, 0xab, 0xff}, ""},
		{"0:2", nil, `"0" is not two digits`},
		{"00::02", nil, `"" is not two digits`},
		{"000:02", nil, `"000" is not two digits`},
		{"012", nil, `hex octets "012"`},
		{"zz", nil, `hex octets "zz"`},
		{"00:zz", nil, "hex octets"},
	} {
		got, err := ParseHex(tc.text)
		if !bytes.Equal(got, tc.want) || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("ParseHex(%q) = %x, %v, want %x, %q", tc.text, got, err, tc.want, tc.err)
		}
	}
	for want, duid := range map[string][]byte{"": nil, "00": {0}, "00:02:ab": {0, 2, 0xab}} {
		if got := FormatDUID(duid); got != want {
			t.Errorf("FormatDUID(%x) = %q, want %q", duid, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		NA.String(): "IA_NA", TA.String(): "IA_TA", PD.String(): "IA_PD", Kind(9).String(): "Kind(9)",
		Active.String(): "active", Moved.String(): "moved", Reassigned.String(): "reassigned", State(99).String(): "State(99)",
		Upsert.String(): "upsert", End.String(): "end", DefineLink.String(): "define-link", RemoveLink.String(): "remove-link", Event(0).String(): "Event(0)",
	} {
		if got != want {
			t.Errorf("name %q, want %q", got, want)
		}
	}
}
