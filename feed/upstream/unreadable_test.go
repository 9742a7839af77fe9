package upstream

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// spoilt is the OPTION_CLIENT_DATA of a client, with an address that is too short; without DUID where that is empty.
func spoilt(duid string) dhcpv6.Options {
	out := must(dhcpv6.CLTTime(1))
	if duid != "" {
		out = join(must(dhcpv6.ClientID(duid)), out)
	}
	return must(dhcpv6.ClientData{Options: join(out, dhcpv6.Options{0, 5, 0, 3, 1, 2, 3})})
}

// answerWith is a script of one answer with a client, and then with one that cannot be read.
func answerWith(at uint32, good, bad dhcpv6.Options) script {
	return func(p *peer) {
		_ = p.want(dhcpv6.MessageLeasequery) && p.reply(base(at), good) && p.data(base(at), bad) && p.done(base(at))
	}
}

// A client that cannot be read has not gone: what is known of it stays, and where it is not known whose data that was, everything does. One
// of which nothing was known costs only itself.
func TestClientsThatCannotBeReadAreNotRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, e := with(of("c", 0), na, 500_000, 900_000), with(of("d", 0), nb, 500_000, 900_000), with(of("e", 0), far, 500_000, 900_000)
		stage := newStage(t, map[string][]script{"a": {answer(100, c, d, e)}})
		config := twoRelays
		config.RelayIDs, config.Every = config.RelayIDs[:1], 10*time.Minute
		s, m := stage.source(config, "a"), newModel(t)
		ctx := run(t, s, m)
		m.until(ctx, "the first statement is whole", func() bool { return m.has(na, nb, far) && m.ends() == 1 })
		ends := 1
		play := func(what string, x script, sweeps bool, left ...any) {
			t.Helper()
			stage.add("a", x)
			for stage.left() > 0 {
				<-time.After(time.Minute)
			}
			<-time.After(time.Second)
			synctest.Wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			trouble := strings.Contains(s.Condition().Trouble, "cannot be read")
			if sweeps {
				ends++
			}
			if len(m.held) != len(left) || m.ends() != ends || trouble == sweeps {
				t.Errorf("%s: %d bindings, %d statements, trouble %q; want %d, %d; stated %q", what, len(m.held), m.ends(), s.Condition().Trouble, len(left), ends, m.lines)
			}
		}
		play("one that is known", answerWith(700, holds(&c), spoilt("d")), false, na, nb, far)
		play("nobody knows whose", answerWith(1300, holds(&c), spoilt("")), false, na, nb, far)
		play("one that is not known", answerWith(1900, holds(&c), spoilt("z")), true, na)
		play("it is known again", answer(2500, c, d), true, na, nb)
		play("all is well", answer(3100, c), true, na)
		if n := s.Condition().Refused; n != 3 {
			t.Errorf("%d refused, want 3", n)
		}
	})
}
