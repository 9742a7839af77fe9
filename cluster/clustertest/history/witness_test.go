package history

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// drawn is a history of a group that does everything at one moment, as clients would see it whose operations take up to wide
// around their moments. If wrong, one read shows a version that nothing explains at its time.
func drawn(rng *rand.Rand, n int, wide time.Duration, wrong bool) []operation {
	var ops []operation
	var now Versions
	var last [3]uint32
	for i := range n {
		at := time.Duration(i+1) * 100
		o := operation{call: at - time.Duration(rng.Int64N(int64(wide))), ret: at + time.Duration(rng.Int64N(int64(wide)))}
		if rng.IntN(2) == 0 {
			chain := rng.IntN(len(last))
			last[chain]++
			w := &Write{Chain: chain, Sequence: last[chain], Keys: Keys(rng.IntN(63) + 1)}
			for k := range MaxKeys {
				if w.Keys.Has(k) {
					w.To[k], now[k] = uint32(i+1), uint32(i+1)
				}
			}
			o.write = w
		} else {
			o.read = Read{Keys: All(6), Saw: now}
			if rng.IntN(2) == 0 {
				o.read = Read{Keys: One(rng.IntN(6)), Saw: now}
			}
		}
		ops = append(ops, o)
	}
	for i := len(ops) / 2; wrong && i < len(ops); i++ {
		if ops[i].write == nil {
			for k := range MaxKeys {
				ops[i].read.Saw[k] += uint32(n)
			}
			break
		}
	}
	return ops
}

// TestWitnessAgreesWithPorcupine compares both on small histories, some of them wrong.
func TestWitnessAgreesWithPorcupine(t *testing.T) {
	verdicts := map[bool]int{}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		ops := drawn(rng, 14, 400, false)
		if o := &ops[rng.IntN(len(ops))]; seed%2 == 0 && o.write == nil { // perhaps wrong: one that takes place elsewhere
			o.call, o.ret = o.call+500, o.ret+500
		}
		want := ask(Versions{}, ops, time.Minute) == porcupine.Ok
		if _, found, decided := find(Versions{}, ops, time.Minute); found != want || !decided {
			t.Errorf("seed %d: witness %v, decided %v, porcupine %v", seed, found, decided, want)
		}
		verdicts[want]++
	}
	if verdicts[true] < 20 || verdicts[false] < 20 {
		t.Errorf("verdicts %v: the histories are of one kind", verdicts)
	}
}

// TestWideHistoriesAreDecided has so many operations that overlap that porcupine alone would not end.
func TestWideHistoriesAreDecided(t *testing.T) {
	for seed := range uint64(5) {
		for _, wrong := range []bool{false, true} {
			ops := drawn(rand.New(rand.NewPCG(seed, 0)), 400, 1500, wrong)
			want := porcupine.Ok
			if wrong {
				want = porcupine.Illegal
			}
			if got := decide(Versions{}, ops, time.Minute); got != want {
				t.Errorf("seed %d, wrong %v: %v", seed, wrong, got)
			}
		}
	}
}
