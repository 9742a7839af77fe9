package upstream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// What trouble can be about, beside a query by its name.
const (
	reaching    = "" // the server
	subscribing = "subscriptions"
	reading     = "answers"
)

// maxTroubles is how many troubles are told; there are as many as there are queries.
const maxTroubles = 3

// troubles is what keeps the source from its server, by what it is about. It may be used by several goroutines.
type troubles struct {
	mu  sync.Mutex
	all map[string]string
}

// set notes trouble, or with nil that it is over.
func (t *troubles) set(about string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.all, about)
		return
	}
	if t.all == nil {
		t.all = map[string]string{}
	}
	t.all[about] = err.Error()
}

// String tells of them, for people; it is empty when there are none.
func (t *troubles) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, about := range slices.Sorted(maps.Keys(t.all)) {
		if len(out) == maxTroubles {
			out = append(out, fmt.Sprintf("and %d more", len(t.all)-maxTroubles))
			break
		}
		switch about {
		case reaching, subscribing, reading:
			out = append(out, t.all[about])
		default:
			out = append(out, about+": "+t.all[about])
		}
	}
	return strings.Join(out, "; ")
}
